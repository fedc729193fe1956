package prometheus

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pictures is the folder into which the tests draw what they saw, for docs/images; empty for
// none. Grafana is not needed: these are its panels, drawn from Prometheus' own answers.
var pictures = os.Getenv("PICTURES")

// line is one series over time.
type line struct {
	name   string
	points []float64 // NaN for none
}

// pointsDrawn is how many points a line has; more cannot be told apart, and make a large file.
const pointsDrawn = 60

// over returns what a query gave at pointsDrawn moments between two times.
func (p *server) over(expr, legend string, from, to time.Time) (lines []line) {
	p.t.Helper()
	step := to.Sub(from) / (pointsDrawn - 1)
	var data struct{ Result []result }
	p.ask("query_range", url.Values{
		"query": {expr}, "start": {unix(from)}, "end": {unix(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	}, &data)
	for _, r := range data.Result {
		l := line{name: labelled(legend, r.Metric), points: slices.Repeat([]float64{math.NaN()}, pointsDrawn)}
		for _, v := range r.Values {
			at := int(math.Round((v[0].(float64) - float64(from.UnixMilli())/1000) / step.Seconds()))
			value, err := strconv.ParseFloat(v[1].(string), 64)
			if err != nil || at < 0 || at >= pointsDrawn {
				p.t.Fatalf("%s: %v", expr, v)
			}
			l.points[at] = value
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
	return lines
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// labelled is a legend with the labels of a series.
func labelled(legend string, labels map[string]string) string {
	return legendLabel.ReplaceAllStringFunc(legend, func(m string) string { return labels[strings.Trim(m, "{}")] })
}

// colours tell lines apart on white and on black.
var colours = []string{"#3274d9", "#e02f44", "#37872d", "#ff780a", "#8f3bb8", "#0a9396", "#b8860b", "#7f7f7f"}

const (
	unitWidth, unitHeight = 50, 20 // of Grafana's grid, in pixels
	margin                = 8
)

// drawing is an SVG that grows.
type drawing struct{ strings.Builder }

func (d *drawing) text(x, y, size int, style, s string) {
	fmt.Fprintf(d, `<text x="%d" y="%d" font-size="%d" %s>%s</text>`+"\n", x, y, size, style, html.EscapeString(s))
}

func (d *drawing) box(x, y, w, h int, fill string) {
	fmt.Fprintf(d, `<rect x="%d" y="%d" width="%d" height="%d" rx="3" fill="%s"/>`+"\n", x, y, w, h, fill)
}

// save writes the drawing with its size.
func (d *drawing) save(t *testing.T, name string, w, h int) {
	t.Helper()
	text := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" fill="#222">`+"\n", w, h, w, h) +
		fmt.Sprintf(`<rect width="%d" height="%d" fill="#f4f5f5"/>`+"\n", w, h) + d.String() + "</svg>\n"
	if len(text) > 150_000 {
		t.Errorf("%s has %d bytes, too many for the docs", name, len(text))
	}
	if err := os.WriteFile(filepath.Join(pictures, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lines draws lines into a box, the largest value at its top, and their names below.
func (d *drawing) lines(lines []line, unit string, x, y, w, h int) {
	most := 0.0
	for _, l := range lines {
		for _, v := range l.points {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				most = max(most, math.Abs(v))
			}
		}
	}
	d.text(x, y+8, 9, `fill="#777"`, measured(most, unit))
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(last(b), last(a)) })
	shown := lines[:min(len(lines), len(colours))]
	legend := 0
	for i, l := range shown {
		path := ""
		pen := "M"
		for at, v := range l.points {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				pen = "M"
				continue
			}
			height := 0
			if most > 0 {
				height = int(math.Round(v / most * float64(h-12)))
			}
			path += fmt.Sprintf("%s%d %d", pen, x+at*w/(pointsDrawn-1), y+h-max(height, 0))
			pen = "L"
		}
		fmt.Fprintf(d, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", path, colours[i])
		name := cmp.Or(l.name, "value")
		if width := 14 + 6*len(name); legend+width <= w {
			d.box(x+legend, y+h+8, 8, 3, colours[i])
			d.text(x+legend+11, y+h+13, 9, "", name)
			legend += width + 4
		}
	}
}

// last is the last value of a line, by which lines are put in order.
func last(l line) float64 {
	for _, v := range slices.Backward(l.points) {
		if !math.IsNaN(v) {
			return v
		}
	}
	return 0
}

// measured is a value as Grafana would write it.
func measured(v float64, unit string) string {
	switch unit {
	case "s":
		return time.Duration(v * float64(time.Second)).Round(10 * time.Microsecond).String()
	case "percentunit":
		return fmt.Sprintf("%.3g %%", 100*v)
	case "bytes":
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	case "reqps", "ops":
		return fmt.Sprintf("%.3g/s", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// drawDashboard draws the dashboard as it was between two times.
func (p *server) drawDashboard(from, to time.Time) {
	p.t.Helper()
	d, bottom := &drawing{}, 0
	for _, one := range everyPanel(p.t) {
		g := one.GridPos
		x, y, w, h := g.X*unitWidth+margin/2, g.Y*unitHeight+margin/2, g.W*unitWidth-margin, g.H*unitHeight-margin
		bottom = max(bottom, y+h+margin)
		if one.Type == "row" {
			d.text(x, y+11, 13, `font-weight="bold"`, one.Title)
			continue
		}
		d.box(x, y, w, h, "#fff")
		d.text(x+6, y+14, 11, `font-weight="bold"`, one.Title)
		var lines []line
		for _, q := range one.Targets {
			lines = append(lines, p.over(filled(q.Expr), q.LegendFormat, from, to)...)
		}
		switch one.Type {
		case "timeseries":
			d.lines(lines, one.FieldConfig.Defaults.Unit, x+6, y+20, w-12, h-42)
		case "table":
			d.text(x+6, y+40, 11, "", labelled("{{instance}}  {{version}}  {{goversion}}", p.query(filled(one.Targets[0].Expr))[0].Metric))
		default:
			d.text(x+w/2, y+h/2+18, 26, `text-anchor="middle"`, measured(last(lines[0]), one.FieldConfig.Defaults.Unit))
		}
	}
	d.save(p.t, "dashboard.svg", 24*unitWidth, bottom)
}

// drawAlerts draws when each alert was pending and when it fired.
func (p *server) drawAlerts(from, to time.Time) {
	p.t.Helper()
	const left, right, rowHeight = 220, 860, 20
	d := &drawing{}
	d.text(margin, 20, 13, `font-weight="bold"`, fmt.Sprintf("Alerts in %s of the test; time passes %d times faster in it", to.Sub(from).Round(time.Second), faster))
	y := 34
	for _, a := range rules(p.t, readText(p.t, "alerts.yml")) {
		if notHere[a.Alert] != "" {
			continue
		}
		d.text(margin, y+13, 11, "", a.Alert)
		d.box(left, y+2, right-left, rowHeight-4, "#fff")
		for _, state := range []struct{ name, colour string }{{"pending", "#f2b705"}, {"firing", "#e02f44"}} {
			// Of each stretch, not of its end alone: some are short.
			lines := p.over(fmt.Sprintf(`max(max_over_time(ALERTS{alertname=%q,alertstate=%q}[%dms]))`, a.Alert, state.name, to.Sub(from).Milliseconds()/pointsDrawn), "", from, to)
			for _, l := range lines {
				for at, v := range l.points {
					if !math.IsNaN(v) {
						d.box(left+at*(right-left)/pointsDrawn, y+2, (right-left)/pointsDrawn+1, rowHeight-4, state.colour)
					}
				}
			}
		}
		y += rowHeight
	}
	d.box(left, y+6, 10, 10, "#f2b705")
	d.text(left+16, y+15, 11, "", "it is so, but not for long enough yet")
	d.box(left+260, y+6, 10, 10, "#e02f44")
	d.text(left+276, y+15, 11, "", "fires")
	d.save(p.t, "alerts.svg", right+margin, y+28)
}
