package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// report is a comparison that has been made.
type report struct {
	options    options
	contenders []contender
	trials     []trial
}

// print prints tables in Markdown, one for each trial, and then how the sidecar compares
// with itself.
func (r report) print(w io.Writer, upstream string) {
	fmt.Fprintf(w, "%s of %s, %s, upstream: %s over TLS. ", count(r.options.rounds, "round"), r.options.length, count(runtime.NumCPU(), "processor"), upstream)
	fmt.Fprintf(w, "Medians; behind × the ratio to %s in the same round [quartiles].\n", r.contenders[r.reference(r.options.accounts[0])].title)
	for _, t := range r.trials {
		r.printTrial(w, t)
	}
	for _, p := range pairs {
		r.printPair(w, p)
	}
}

// reference returns the contender that those with as many accounts are compared with:
// the first that is a proxy.
func (r report) reference(accounts int) int {
	return max(0, slices.IndexFunc(r.contenders, func(c contender) bool { return c.accounts == accounts && c.name != "direct" }))
}

// find returns the samples of a peer in a trial, or nil.
func (r report) find(t trial, name string, accounts int) []sample {
	i := slices.IndexFunc(r.contenders, func(c contender) bool { return c.name == name && c.accounts == accounts })
	if i < 0 {
		return nil
	}
	return t.samples[i]
}

func (r report) printTrial(w io.Writer, t trial) {
	titles := []string{"", "accounts"}
	for _, f := range figures {
		titles = append(titles, f.title)
	}
	direct := r.find(t, "direct", r.options.accounts[0])
	if t.conns > 1 || t.load.big() {
		direct = nil // what a proxy adds is lost in what connections wait for each other, or a body takes
	}
	if direct != nil {
		titles = append(titles, "added p50, µs")
	}
	fmt.Fprintf(w, "\n%s, %s\n\n", t.load.title, count(t.conns, "connection"))
	printRow(w, titles)
	printRow(w, slices.Repeat([]string{"---"}, len(titles)))
	for i, c := range r.contenders {
		if t.samples[i] != nil {
			printRow(w, r.row(t, c, t.samples[i], direct))
		}
	}
}

// row returns the cells of a contender. Without a proxy there is no process to look at.
func (r report) row(t trial, c contender, samples, direct []sample) []string {
	reference := t.samples[r.reference(c.accounts)]
	cells := []string{c.title, thousands(float64(c.accounts))}
	for _, f := range figures {
		if c.name == "direct" && (strings.HasPrefix(f.title, "CPU") || strings.HasPrefix(f.title, "peak")) {
			cells = append(cells, "")
			continue
		}
		cells = append(cells, cell(f, samples, reference))
	}
	switch {
	case direct == nil:
	case c.name == "direct":
		cells = append(cells, "")
	default:
		cells = append(cells, cell(p50, added(samples, direct), added(reference, direct)))
	}
	return cells
}

func cell(f figure, samples, reference []sample) string {
	return thousands(median(f, samples)) + " × " + ratios(f, samples, reference).String()
}

// pair is what the sidecar is compared with beside the other proxies: itself.
type pair struct {
	title        string
	name, beside string
	most         bool    // with the last number of accounts, beside the first
	bound        float64 // how far off it should be at most; 0: it is only printed
}

var pairs = []pair{
	{"wxsidecar with %[2]s accounts beside %[1]s", "wxsidecar", "wxsidecar", true, 0.05},
	{"wxsidecar with all features on beside all off", "wxsidecar", "off", false, 0.10},
	{"wxsidecar with the access log beside without", "log", "wxsidecar", false, 0},
}

func (r report) printPair(w io.Writer, p pair) {
	first, accounts := r.options.accounts[0], r.options.accounts[0]
	if p.most {
		accounts = r.options.accounts[len(r.options.accounts)-1]
	}
	if p.most && accounts == first || r.find(r.trials[0], p.name, accounts) == nil || r.find(r.trials[0], p.beside, first) == nil {
		return
	}
	title := p.title
	if p.most {
		title = fmt.Sprintf(title, thousands(float64(first)), thousands(float64(accounts)))
	}
	fmt.Fprintf(w, "\n%s\n\n", title)
	printRow(w, []string{"", "connections", figures[0].title, figures[1].title, "aim"})
	printRow(w, slices.Repeat([]string{"---"}, 5))
	for _, t := range r.trials {
		a, b := r.find(t, p.name, accounts), r.find(t, p.beside, first)
		if a == nil || b == nil {
			continue
		}
		calls, cpu := ratios(figures[0], a, b), ratios(figures[1], a, b)
		printRow(w, []string{t.load.title, fmt.Sprint(t.conns), calls.String(), cpu.String(), verdict(p.bound, calls, cpu)})
	}
}

// verdict says whether neither the calls a second nor the processor time is off by more
// than bound. A median that is off means nothing where a quartile is not.
func verdict(bound float64, calls, cpu spread) string {
	switch {
	case bound == 0:
		return ""
	case calls.median >= 1-bound && cpu.median <= 1+bound:
		return fmt.Sprintf("within %.0f %%", bound*100)
	case calls.high < 1-bound || cpu.low > 1+bound:
		return fmt.Sprintf("not within %.0f %%", bound*100)
	default:
		return "unclear: more rounds"
	}
}

func printRow(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// thousands writes a figure with three digits or more that mean something.
func thousands(v float64) string {
	switch {
	case v != float64(int(v)) && v < 100:
		return fmt.Sprintf("%.1f", v)
	case v < 1000:
		return fmt.Sprintf("%.0f", v)
	}
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
