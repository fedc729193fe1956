package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// panel is a panel of Grafana's dashboard, as far as a test looks at it.
type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []target
}

type target struct{ Expr, LegendFormat string }

// everyPanel returns the panels of the dashboard, its rows too.
func everyPanel(t *testing.T) []panel {
	t.Helper()
	var d struct{ Panels []panel }
	if err := json.Unmarshal([]byte(readText(t, "../grafana/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d.Panels
}

// panels returns the panels that show something.
func panels(t *testing.T) []panel {
	t.Helper()
	return slices.DeleteFunc(everyPanel(t), func(p panel) bool { return p.Type == "row" })
}

// filled is what Grafana makes of a query's variables.
func filled(expr string) string {
	return strings.NewReplacer("$instance", ".*", "$__rate_interval", "5s").Replace(expr)
}

// busy is a sidecar that has seen most of what there is: calls that go well and others, pushes,
// messages, a merchant that is lost, a secret that is wrong while its token lives.
func busy(t *testing.T) *sidecar {
	s := newSidecar(t, "busy", 24*time.Second)
	s.start()
	s.pushes()
	until(t, "all tokens are there", func() bool { return s.get(s.ports.metrics, "/tokenz") == http.StatusOK })
	s.sim.Fault("/cgi-bin/user/get", wechattest.Fault{Errcode: 45009})
	s.sim.Fault("/cgi-bin/user/info", wechattest.Fault{Errcode: 40003})
	s.sim.Fault("/cgi-bin/tags/get", wechattest.Fault{Mode: wechattest.Close})
	s.sim.Fault("/cgi-bin/stable_token", wechattest.Fault{AppID: ownTwo, Errcode: 40125})
	s.sim.Fault(menuPath, wechattest.Fault{Latency: 30 * time.Millisecond, AppID: ownOne})
	s.sim.VoidRefreshToken(component, s.merchants[2])
	s.keep(100*time.Millisecond, func() {
		for _, appID := range []string{s.merchants[0], s.merchants[1], s.merchants[2], ownOne} {
			s.call(shopKey, "GET", menuPath, appID)
		}
		s.call(shopKey, "GET", "/cgi-bin/user/info?openid=x", ownOne)
		s.call(mailKey, "POST", "/cgi-bin/message/custom/send", s.merchants[0])
		s.call("nobodys-key", "GET", menuPath, ownOne)
	})
	s.keep(time.Second, func() {
		s.sim.Displace(s.merchants[0])
		s.call(shopKey, "GET", "/cgi-bin/user/get", ownOne)
		s.call(shopKey, "POST", "/cgi-bin/tags/get", ownOne)
		s.call(mailKey, "GET", menuPath, ownOne) // not among its paths
		s.get(s.ports.push, "/wechat/"+component+"/event")
		s.badPush()
		_, _ = s.sim.PushMessage(t.Context(), component, s.merchants[0], wechattest.Message{MsgType: "text", Content: "1"})
		code := s.sim.Authorize(component, s.merchants[1])
		_ = s.sim.Push(t.Context(), component, s.sim.AuthorizedEvent(s.merchants[1], code, true))
	})
	return s
}

// badPush pushes what nobody has signed.
func (s *sidecar) badPush() {
	url := fmt.Sprintf("http://127.0.0.1:%d/wechat/%s/event?timestamp=%d&nonce=1&encrypt_type=aes&msg_signature=%040d", s.ports.push, component, time.Now().Unix(), 0)
	resp, err := s.client.Post(url, "text/xml", strings.NewReader("<xml><AppId>"+component+"</AppId><Encrypt>AAAA</Encrypt></xml>"))
	if err == nil {
		_ = resp.Body.Close()
	}
}

var question = regexp.MustCompile("(?m)^\\| [^|]+\\? \\| `(.+)` \\|$")

// Every query of the dashboard and every answer of docs/metrics.md gives something, asked of a
// real Prometheus that scrapes a real sidecar.
func TestDashboard_EveryQueryGivesSomething(t *testing.T) {
	s, began := busy(t), time.Now()
	p := startPrometheus(t, readText(t, "alerts.yml"), []*sidecar{s})
	open := map[string]string{}
	for _, one := range panels(t) {
		for _, q := range one.Targets {
			open["panel "+one.Title+": "+q.LegendFormat] = filled(q.Expr)
		}
	}
	if len(open) < 40 {
		t.Fatalf("the dashboard has only %d queries", len(open))
	}
	questions := question.FindAllStringSubmatch(readText(t, "../../docs/metrics.md"), -1)
	if len(questions) < 20 {
		t.Fatalf("docs/metrics.md has only %d questions", len(questions))
	}
	for _, q := range questions {
		open[q[0]] = strings.NewReplacer(`\|`, "|", "[5m]", "[5s]", "[1h]", "[5s]").Replace(q[1])
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); len(open) > 0 && time.Now().Before(end); <-tick.C {
		for name, expr := range open {
			if slices.ContainsFunc(p.query(expr), func(r result) bool { return r.Value[1] != "NaN" }) {
				delete(open, name)
			}
		}
	}
	for name, expr := range open {
		t.Errorf("%s gives nothing: %s", name, expr)
	}
	if pictures != "" {
		until(t, "there is enough to draw", func() bool { return time.Since(began) > 75*time.Second })
		p.drawDashboard(time.Now().Add(-65*time.Second), time.Now())
	}
}

// A Prometheus that asks for native histograms gets them.
func TestPrometheus_NativeHistograms(t *testing.T) {
	s := newSidecar(t, "native", time.Minute)
	s.start()
	s.pushes()
	s.keep(100*time.Millisecond, func() { s.call(shopKey, "GET", menuPath, s.merchants[0]) })
	p := startPrometheus(t, "groups: []\n", []*sidecar{s}, "--enable-feature=native-histograms")
	until(t, "quantiles of a native histogram", func() bool {
		got := p.query(`histogram_quantile(0.9, rate(wxsidecar_app_request_duration_seconds[5s])) > 0`)
		return len(got) == 1
	})
}

// Panels lie on Grafana's grid beside each other, and each says what it is.
func TestDashboard_Layout(t *testing.T) {
	at, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range panels(t) {
		if p.Description == "" || p.Title == "" || p.FieldConfig.Defaults.Unit == "" || ids[p.ID] {
			t.Errorf("%d %q: a title, a description, a unit or an id of its own is missing", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := at[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies over %q, or beyond the grid", p.Title, other)
				}
				at[[2]int{x, y}] = p.Title
			}
		}
	}
}
