package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// devKey is the key of a development copy: it may call for one merchant, and not what changes
// more than that merchant's own data. docs/development-copies.md has the same entry.
const devKey = "X-Wxsidecar-Key: key-dev"

// addDevelopmentCaller adds a caller to the file that configure has written.
func (w *componentsWorld) addDevelopmentCaller() {
	w.t.Helper()
	path := filepath.Join(w.dir, "c.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("c.yaml", string(text)+"  - {name: dev, key_sha256: "+sha256Hex("key-dev")+", appids: ["+worldOne+", "+worldFirst+"], components: ["+worldFirst+"],\n"+
		"     deny: [/cgi-bin/clear_quota*, /cgi-bin/component/clear_quota*, /cgi-bin/component/api_start_push_ticket, /cgi-bin/component/api_query_auth]}\n")
}

// tokenPaths are the calls that make tokens, and may void others.
var tokenPaths = []string{
	"/cgi-bin/token", "/cgi-bin/stable_token", "/cgi-bin/component/api_component_token",
	"/cgi-bin/component/api_authorizer_token", "/cgi-bin/component/api_query_auth", "/cgi-bin/ticket/getticket",
}

// tokenCalls returns how often each of them was called, and which tokens are in force.
func (w *componentsWorld) tokenCalls() string {
	var all strings.Builder
	for _, path := range tokenPaths {
		fmt.Fprintln(&all, path, w.sim.Calls(path))
	}
	for _, appID := range []string{worldFirst, worldSecond, worldBoth, worldOne} {
		fmt.Fprintln(&all, appID, w.sim.TokensIssued(appID))
	}
	fmt.Fprintln(&all, w.sim.CurrentToken(worldFirst), w.sim.CurrentToken(worldOne))
	return all.String()
}

// startDevelopmentCopy does what a development copy does when it comes up: its SDK keeps nothing, fetches what it
// takes for tokens in every way that an SDK has, forced ones too, and calls with them.
func (w *componentsWorld) startDevelopmentCopy() {
	w.t.Helper()
	fetch := func(method, target, body, field string) string {
		w.t.Helper()
		a := w.call(method, target, body)
		handle, _ := a.fields[field].(string)
		if !strings.HasPrefix(handle, "wxs_") {
			w.t.Fatalf("%s: %d %s", target, a.status, a.body)
		}
		return handle
	}
	const component = "/cgi-bin/component/"
	platform := fetch(http.MethodPost, component+"api_component_token",
		`{"component_appid":"`+worldFirst+`","component_appsecret":"key-dev","component_verify_ticket":"none"}`, "component_access_token")
	handles := []string{
		fetch(http.MethodGet, "/cgi-bin/token?grant_type=client_credential&appid="+worldOne+"&secret=key-dev", "", "access_token"),
		fetch(http.MethodPost, "/cgi-bin/stable_token",
			`{"grant_type":"client_credential","appid":"`+worldOne+`","secret":"key-dev","force_refresh":true}`, "access_token"),
		fetch(http.MethodPost, component+"api_authorizer_token?component_access_token="+platform,
			`{"component_appid":"`+worldFirst+`","authorizer_appid":"`+worldOne+`","authorizer_refresh_token":"none"}`, "authorizer_access_token"),
	}
	for _, handle := range handles {
		if a := w.call(http.MethodGet, worldMenu+handle, ""); !a.ok() {
			w.t.Errorf("a call with the handle: %d %s", a.status, a.body)
		}
	}
	if a := w.call(http.MethodGet, "/cgi-bin/menu/get", "", devKey, "X-Wechat-Appid: "+worldOne); !a.ok() {
		w.t.Errorf("a call with the key: %d %s", a.status, a.body)
	}
}

// A development copy is a caller of the one sidecar that renews. However often it starts, and
// whatever it asks for, WeChat gets no token call and all tokens stay in force.
func TestDevelopmentCopies_RenewNothing(t *testing.T) {
	t.Parallel()
	w := newComponentsWorld(t)
	w.addDevelopmentCaller()
	w.start()
	production := w.handleOf(worldFirst, worldOne)
	w.until("every token is there", func() bool {
		return w.through(worldFirst, worldMenu+production).ok() &&
			w.through(worldSecond, worldMenu+w.handleOf(worldSecond, worldBoth)).ok() &&
			w.through(worldFirst, worldMenu+w.handleOf(worldFirst, worldBoth)).ok()
	})
	before := w.tokenCalls()
	for range 20 {
		w.startDevelopmentCopy()
	}
	refused := func(method, target, body string, headers ...string) {
		t.Helper()
		if a := w.call(method, target, body, append(headers, devKey)...); a.status != http.StatusForbidden || a.fault != "caller_refused" {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	// What is another merchant's, another component's, or would change more than its own data.
	refused(http.MethodGet, "/cgi-bin/menu/get", "", "X-Wechat-Appid: "+worldBoth)
	refused(http.MethodGet, "/cgi-bin/token?grant_type=client_credential&appid="+worldBoth+"&secret=key-dev", "")
	refused(http.MethodPost, "/cgi-bin/clear_quota", `{"appid":"`+worldOne+`"}`, "X-Wechat-Appid: "+worldOne)
	refused(http.MethodPost, "/cgi-bin/component/api_query_auth", `{"component_appid":"`+worldFirst+`","authorization_code":"queryauthcode@@@x"}`)
	refused(http.MethodPost, "/cgi-bin/component/api_start_push_ticket", `{"component_appid":"`+worldFirst+`","component_secret":"key-dev"}`)
	if a := w.call(http.MethodGet, "/cgi-bin/menu/get", "", "X-Wechat-Appid: "+worldOne); a.fault != "caller_refused" {
		t.Errorf("without a key: %d %s", a.status, a.body)
	}
	if after := w.tokenCalls(); after != before {
		t.Errorf("tokens and calls for them before:\n%safter:\n%s", before, after)
	}
	if a := w.through(worldFirst, worldMenu+production); !a.ok() {
		t.Errorf("production: %d %s", a.status, a.body)
	}
	w.wantTokens()
}
