//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// TestProxied runs the real program behind real proxies: app calls, token calls,
// tunnels and the fallback go through them, what fails there is told as the proxy's,
// and nothing but its return is needed.
func TestProxied(t *testing.T) {
	binary, _ := buildProgram(t)
	for kind, password := range map[string]string{"tinyproxy": "s3cr3t.pw", "microsocks": "s3cr3t@:/%?#"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newProxiedWorld(t, newRealProxy(t, kind, "way-user", password))
			w.proxy.start()
			w.serve(binary, w.proxy.url(), "127.0.0.1:0")
			defer w.check()
			w.fine("at first")
			if status, inside := w.tunnel(); inside != 200 {
				t.Errorf("tunnel: %s, inside %d", status, inside)
			}
			proxied, _ := w.first.came()
			if n := w.sim.TokensIssued(scriptAccount); n != 1 || proxied < 3 {
				t.Errorf("%d tokens; %d connections of app, broker and tunnel through the proxy", n, proxied)
			}

			w.first.shut()
			w.fine("when the first host is gone")
			if proxied, _ := w.second.came(); proxied == 0 {
				t.Error("the fallback was not reached through the proxy")
			}

			w.proxy.stop()
			w.refused(4, "when the proxy is down", "upstream_unreachable", "cannot connect to the proxy")
			w.proxy.password = "another"
			w.proxy.start()
			w.refused(4, "when it wants another password", "upstream_unreachable", "credentials refused (upstream.proxy)")
			if status, _ := w.tunnel(); !strings.Contains(status, "502") || !strings.Contains(status, "credentials refused (upstream.proxy)") {
				t.Errorf("tunnel: %s", status)
			}
			w.proxy.stop()
			w.proxy.password = password
			w.proxy.start()
			w.fine("when it is back")
			if n := strings.Count(w.log.String(), `"msg":"upstream host is out"`); n > 1 {
				t.Errorf("%d hosts were taken out, and only the first was gone", n)
			}
		})
		t.Run(kind+"/credentials", func(t *testing.T) {
			t.Parallel()
			w := newProxiedWorld(t, newRealProxy(t, kind, "way-user", password))
			w.proxy.password = "another"
			w.proxy.start()
			w.proxy.password = password
			w.serve(binary, w.proxy.url(), "127.0.0.1:0")
			defer w.check()
			w.refused(1, "without a token", "retrying", "credentials refused (upstream.proxy)")
			w.proxy.stop()
			w.proxy.start()
			await(t, "the broker notices the proxy's return", func() bool {
				_, code, _ := w.call("GET")
				return code == ""
			})
		})
	}
	t.Run("loop", func(t *testing.T) {
		t.Parallel()
		w := newProxiedWorld(t, newRealProxy(t, "tinyproxy", "way-user", "s3cr3t.pw"))
		apps := fmt.Sprintf("127.0.0.1:%d", programtest.FreePort(t))
		w.proxy.parent = apps
		w.proxy.start()
		w.serve(binary, w.proxy.url(), apps)
		if status, _ := w.tunnel(); !strings.HasPrefix(status, "502") || !strings.Contains(status, "the proxy refuses mp.weixin.qq.com") {
			t.Errorf("a tunnel that comes back: %s", status)
		}
		if log := w.log.String(); !strings.Contains(log, "upstream.proxy leads to the sidecar") {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}
