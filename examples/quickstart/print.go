package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
)

// secretLooking is what a token, a ticket or a code looks like.
var secretLooking = regexp.MustCompile(`[A-Za-z0-9_@-]{32,}`)

// shorten leaves the first six characters of everything that looks secret.
func shorten(text string) string {
	return secretLooking.ReplaceAllStringFunc(text, func(s string) string { return s[:6] + "…" })
}

// cut keeps a line within the width of a terminal.
func cut(text string) string {
	const most = 84
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + " …"
	}
	return text
}

// printer lays the tour out.
type printer struct{ out io.Writer }

func (p printer) text(line string) { fmt.Fprintln(p.out, line) }

func (p printer) step(n int, title string) { fmt.Fprintf(p.out, "\n%d. %s\n", n, title) }

// line prints a labelled text; all but the first of its lines are indented.
func (p printer) line(label, text string) {
	for part := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(p.out, "   %-16s  %s\n", label, cut(shorten(part)))
		label = ""
	}
}

// so says what a step has shown.
func (p printer) so(text string) { fmt.Fprintln(p.out, "   => "+text) }

// farewell prints what can be tried by hand.
func (p printer) farewell(w *world, s *sidecar, once bool) {
	apps, metrics := "http://"+s.apps, "http://"+s.metrics
	if once {
		p.text("\nWithout -once it stays, and these work in another terminal:")
	} else {
		p.text("\nNow try it yourself, in another terminal; the merchant is named by a header or in the path:")
	}
	fmt.Fprintf(p.out, `
  curl -H 'X-Wechat-Appid: %[3]s' %[1]s/cgi-bin/menu/get
  curl %[1]s/%[4]s/cgi-bin/menu/get
  curl -H 'X-Wechat-Appid: %[3]s' -d '{"touser":"OPENID","msgtype":"text","text":{"content":"你好"}}' %[1]s/cgi-bin/message/custom/send
  curl -d '{"component_appid":"%[5]s"}' %[1]s/cgi-bin/component/api_create_preauthcode

  curl %[1]s/cgi-bin/menu/get   # two merchants and none named: the error says what to do
  curl %[2]s/tokenz             # which tokens are missing, and why
  curl %[2]s/metrics            # for Prometheus

and in a browser, as a merchant:

  %[6]s
`, apps, metrics, merchant1, merchant2, component, s.page())
	if once {
		return
	}
	p.text("")
	p.line("simulated WeChat", w.url)
	p.line("configuration", s.config)
	p.line("log", s.logFile)
	p.text("\nCtrl-C ends everything and removes its files.")
}
