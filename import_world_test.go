package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// The merchants of what SDKs left in broker/imports/testdata.
var importMerchants = []string{scriptAuthorizer, "wxa000000000000002", "wxa000000000000003"}

// importWorld is a platform that moves to wxsidecar: WeChat does not tell what the old system knew.
type importWorld struct{ *redisWorld }

func newImportWorld(t *testing.T) *importWorld {
	t.Helper()
	w := &importWorld{newRedisWorld(t)}
	for _, appID := range importMerchants[1:] {
		w.sim.AddAuthorizer(scriptComponent, appID)
	}
	w.configure("c.yaml", "store: bolt:data/wx.db", "seal: {key_file: key}")
	return w
}

// deny has WeChat answer none of what would bring back a refresh token or a ticket that an import
// had lost.
func (w *importWorld) deny() {
	for _, path := range []string{"api_get_authorizer_list", "api_get_authorizer_info", "api_start_push_ticket"} {
		w.sim.Fault("/cgi-bin/component/"+path, wechattest.Fault{Errcode: -1})
	}
}

// path returns where a file of the world is.
func (w *importWorld) path(name string) string { return filepath.Join(w.dir, name) }

// imports runs the verb, wants its exit code and a text for each pattern, and returns stdout.
func (w *importWorld) imports(code int, args string, patterns ...string) string {
	w.t.Helper()
	out, _ := w.says(code, args, patterns...)
	return out
}

// says is imports with stderr too.
func (w *importWorld) says(code int, args string, patterns ...string) (out, errs string) {
	w.t.Helper()
	out, errs, got := w.run(append([]string{"import"}, strings.Fields(args)...)...)
	if got != code {
		w.t.Errorf("import %s: exit code %d, want %d:\n%s%s", args, got, code, out, errs)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out + errs) {
			w.t.Errorf("import %s: it does not say %q:\n%s%s", args, p, out, errs)
		}
	}
	return out, errs
}

// keeps runs the verb as imports does, and wants no secret said.
func (w *importWorld) keeps(code int, args, secret string, patterns ...string) {
	w.t.Helper()
	if out, errs := w.says(code, args, patterns...); strings.Contains(out+errs, secret) {
		w.t.Errorf("import %s: it says a secret:\n%s%s", args, out, errs)
	}
}

// calls wants WeChat to have been called that often in all.
func (w *importWorld) calls(want int) {
	w.t.Helper()
	if n := w.sim.Calls(""); n != want {
		w.t.Errorf("WeChat was called %d times, want %d", n, want)
	}
}

// servesAtOnce wants the first call of each merchant to succeed, by one renewal each.
func (w *importWorld) servesAtOnce(r *replica, appIDs ...string) {
	w.t.Helper()
	for _, appID := range appIDs {
		if status, body := r.get("apps", "/cgi-bin/menu/get", "X-Wechat-Appid: "+appID); status != http.StatusOK {
			w.t.Errorf("the first call of %s: %d %s", appID, status, body)
		}
		if n := w.sim.CallsFor("/cgi-bin/component/api_authorizer_token", appID); n != 1 {
			w.t.Errorf("%s was renewed %d times", appID, n)
		}
	}
	if v := w.sim.Violations(); len(v) > 0 {
		w.t.Errorf("WeChat was called as it should not be: %v", v)
	}
}

// knows has WeChat know what a source holds.
func (w *importWorld) knows(ticket string, refresh func(appID string) string) {
	if ticket != "" {
		w.sim.GiveTicket(scriptComponent, ticket)
	}
	for _, appID := range importMerchants {
		w.sim.GiveRefreshToken(scriptComponent, appID, refresh(appID))
	}
}

// writeCSV writes what WeChat has now of the merchants, as an app's own database may have it.
func (w *importWorld) writeCSV(name string) {
	text := "name,refresh_token,appid\r\n"
	for _, appID := range importMerchants {
		text += "\"a, b\"," + w.sim.RefreshToken(scriptComponent, appID) + "," + appID + "\r\n"
	}
	w.write(name, "\xef\xbb\xbf"+text)
}

// copyCache copies cache files that an SDK left, with another time at their head.
func (w *importWorld) copyCache(name, dies string) {
	w.t.Helper()
	to, from := w.path(name), "broker/imports/testdata/"+name
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		w.t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, rest, _ := bytes.Cut(content, []byte("\n"))
		return os.WriteFile(path, append([]byte(dies+"\n"), rest...), 0o600)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// fill puts into Redis what an SDK left in one, aged by so much.
func (w *importWorld) fill(name string, aged time.Duration) {
	w.t.Helper()
	for line := range strings.Lines(readText(w.t, "broker/imports/testdata/"+name)) {
		var entry struct {
			Key, Value string
			PX         int64
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			w.t.Fatal(err)
		}
		set := []string{"SET", entry.Key, entry.Value}
		if entry.PX > 0 {
			set = append(set, "PX", strconv.FormatInt(entry.PX-aged.Milliseconds(), 10))
		}
		w.redis.MustDo(set...)
	}
}

// in is when something dies, in seconds since 1970.
func in(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

// componentToken gets a component_access_token as the old system did.
func (w *importWorld) componentToken() string {
	w.t.Helper()
	body := fmt.Sprintf(`{"component_appid":%q,"component_appsecret":%q,"component_verify_ticket":%q}`, scriptComponent, scriptAppSecret, w.sim.NewTicket(scriptComponent))
	resp, err := http.Post("http://"+w.sim.Addr()+"/cgi-bin/component/api_component_token", "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	var answer struct {
		Token string `json:"component_access_token"`
	}
	if err != nil || json.Unmarshal(text, &answer) != nil || answer.Token == "" {
		w.t.Fatalf("%v %s", err, text)
	}
	return answer.Token
}
