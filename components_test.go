package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

const (
	worldMenu   = "/cgi-bin/menu/get?access_token="
	worldTicket = "/cgi-bin/ticket/getticket?type=jsapi&access_token="
	worldKey    = "X-Wxsidecar-Key: key-all"
)

// TestComponents has one merchant authorise both components of one sidecar, take one
// authorization back and give it again, while the program runs, is killed, loses its store
// and gets another seal key. Whatever happens to one, the other's calls go on, and no call
// is ever made with the other's token.
func TestComponents(t *testing.T) {
	t.Parallel()
	w := newComponentsWorld(t)
	w.start()
	first, second := w.handleOf(worldFirst, worldBoth), w.handleOf(worldSecond, worldBoth)
	w.wantBoth(first, second)
	w.wantOneComponent()
	w.wantRights(second)

	stop := w.keepCalling(worldSecond, second)
	w.withdraw(worldFirst, worldBoth)
	w.wantWithdrawn(first, second)
	w.authorize(worldFirst, worldBoth)
	w.until("the merchant's new authorization serves", func() bool { return w.through(worldFirst, worldMenu+first).ok() })
	if n := stop(); n == 0 {
		t.Error("no call was made meanwhile")
	}
	w.wantBoth(first, second)

	for _, happens := range []func(){func() {}, w.rekey, w.loseStore} { // nothing but kill -9, and what else
		w.kill()
		happens()
		w.start()
		w.until("both serve", func() bool {
			return w.through(worldFirst, worldMenu+first).ok() && w.through(worldSecond, worldMenu+second).ok()
		})
		w.wantBoth(first, second)
		w.withdraw(worldFirst, worldBoth)
		w.wantWithdrawn(first, second)
		w.kill()
		happens()
		w.start()
		w.until("the one left serves", func() bool { return w.through(worldSecond, worldMenu+second).ok() })
		w.wantWithdrawn(first, second)
		w.authorize(worldFirst, worldBoth)
		w.until("both serve", func() bool { return w.through(worldFirst, worldMenu+first).ok() })
		w.wantBoth(first, second)
		w.wantOneComponent()
	}
	w.kill()
	w.defaultComponent = worldSecond
	w.configure("key2", "key")
	w.start()
	w.until("the default component serves", func() bool { return w.through(worldSecond, "/cgi-bin/menu/get?from_appid="+worldBoth, worldKey).ok() })
	w.wantTokens()
}

// wantBoth wants both authorizations to serve, each by its handle and by its name, and
// calls that leave it open to be told so.
func (w *componentsWorld) wantBoth(first, second string) {
	w.t.Helper()
	for component, handle := range map[string]string{worldFirst: first, worldSecond: second} {
		for _, a := range []appAnswer{
			w.through(component, worldMenu+handle),
			w.through(component, "/cgi-bin/menu/get", worldKey, "X-Wechat-Appid: "+worldBoth, "X-Wechat-Component: "+component),
			w.through(component, "/cgi-bin/menu/get?component_appid="+component, worldKey, "X-Wechat-Appid: "+worldBoth),
			w.call("GET", worldTicket+handle, ""),
		} {
			if !a.ok() {
				w.t.Errorf("%s: %d %s", component, a.status, a.body)
			}
		}
	}
	for _, target := range []string{"/cgi-bin/menu/get?from_appid=" + worldBoth, "/cgi-bin/token?secret=key-all&appid=" + worldBoth} {
		if a := w.call("GET", target, "", worldKey); a.fault != "ambiguous_component" || !strings.Contains(a.body, worldFirst+" or "+worldSecond) {
			w.t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
}

// wantWithdrawn wants the first component's authorization to serve nothing, and the
// second's all, also where the call leaves it open.
func (w *componentsWorld) wantWithdrawn(first, second string) {
	w.t.Helper()
	for _, a := range []appAnswer{
		w.through(worldFirst, worldMenu+first),
		w.through(worldFirst, worldTicket+first),
		w.through(worldFirst, "/cgi-bin/menu/get?from_appid="+worldBoth, worldKey, "X-Wechat-Component: "+worldFirst),
	} {
		if a.fault != "unauthorized" && a.fault != "unknown_account" {
			w.t.Errorf("what was taken back is answered %d %s", a.status, a.body)
		}
	}
	for _, a := range []appAnswer{
		w.through(worldSecond, worldMenu+second),
		w.through(worldSecond, "/cgi-bin/menu/get?from_appid="+worldBoth, worldKey),
		w.call("GET", worldTicket+second, ""),
	} {
		if !a.ok() {
			w.t.Errorf("what was not taken back is answered %d %s", a.status, a.body)
		}
	}
}

// wantOneComponent wants an SDK that knows nothing but the appid to serve the merchant of
// one component.
func (w *componentsWorld) wantOneComponent() {
	w.t.Helper()
	a := w.call("GET", "/cgi-bin/token?grant_type=client_credential&secret=key-all&appid="+worldOne, "")
	handle, _ := a.fields["access_token"].(string)
	if b := w.through(worldFirst, worldMenu+handle); !b.ok() {
		w.t.Errorf("the handle %s (%d %s) is answered %d %s", handle, a.status, a.body, b.status, b.body)
	}
}

// wantRights wants a caller of the first component to act through that alone, whatever it
// names, and not to have to name it.
func (w *componentsWorld) wantRights(second string) {
	w.t.Helper()
	const key = "X-Wxsidecar-Key: key-first"
	if a := w.through(worldFirst, "/cgi-bin/menu/get?from_appid="+worldBoth, key); !a.ok() {
		w.t.Errorf("the caller's own component: %d %s", a.status, a.body)
	}
	for _, a := range []appAnswer{
		w.through(worldFirst, "/cgi-bin/menu/get?from_appid="+worldBoth, key, "X-Wechat-Component: "+worldSecond),
		w.through(worldFirst, worldMenu+second, key),
		w.call("GET", "/wxa/gettemplatelist", "", key, "X-Wechat-Appid: "+worldSecond),
	} {
		if a.status != 403 || a.fault != "caller_refused" || !strings.Contains(a.body, "not in components") {
			w.t.Errorf("another component: %d %s", a.status, a.body)
		}
	}
}

// keepCalling calls with a handle, without a pause, until stop is called, which returns how
// many calls were made. Not one may fail.
func (w *componentsWorld) keepCalling(component, handle string) (stop func() int64) {
	var calls atomic.Int64
	var done atomic.Bool
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for !done.Load() {
				if a := w.through(component, worldMenu+handle); !a.ok() {
					w.t.Errorf("a call through %s failed meanwhile: %d %s", component, a.status, a.body)
					return
				}
				calls.Add(1)
			}
		})
	}
	return func() int64 {
		done.Store(true)
		callers.Wait()
		return calls.Load()
	}
}

func (w *componentsWorld) loseStore() {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, "wx.db")); err != nil {
		w.t.Fatal(err)
	}
}
