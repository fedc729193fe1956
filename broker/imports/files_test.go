package imports

import (
	"bytes"
	"io/fs"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cached returns what a folder of cache files holds at that time.
func cached(t *testing.T, dir string, now time.Time) (found []shown) {
	t.Helper()
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if e, ok := FileEntry(name, content, now); ok {
			if f, ok := EasyWeChat.Read("", e, now); ok {
				found = append(found, show(f))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Where < found[j].Where })
	return found
}

// What EasyWeChat itself left in its caches.
func TestEasyWeChat(t *testing.T) {
	t.Parallel()
	f := func(dir string, now time.Time, want ...shown) {
		t.Helper()
		if diff := cmp.Diff(want, cached(t, "testdata/"+dir, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
	}
	made := time.Unix(1795968177, 0)
	ts := strings.Repeat("T", 60)
	f("easywechat6", made.Add(time.Minute),
		shown{
			Kind: KindComponentToken, Component: platform, Value: "61_component-token-of-easywechat6-" + strings.Repeat("C", 100),
			Dies: made.Add(2 * time.Hour), Where: "open_platform.component_access_token." + platform,
		},
		shown{Kind: KindTicket, Component: platform, Value: "ticket@@@easywechat6-" + ts, At: made, Where: "open_platform.verify_ticket." + platform})
	// EasyWeChat no longer takes it then, but WeChat does.
	if got := cached(t, "testdata/easywechat6", made.Add(11*time.Hour))[1]; !got.At.Equal(made) || got.Value == "" {
		t.Errorf("later: %+v", got)
	}
	f("easywechat5", made, shown{
		Kind: KindTicket, Component: platform, Value: "ticket@@@easywechat5-" + ts, At: made, Where: "easywechat.open_platform.verify_ticket." + platform,
	})
	at := func(appID string) shown {
		return shown{
			Kind: KindRefreshToken, Component: platform, AppID: appID, Value: "refreshtoken@@@easywechat3-" + appID + "-" + strings.Repeat("R", 20),
			Where: "easywechat.open_platform.authorizer_refresh_token." + platform + "." + appID,
		}
	}
	f("easywechat3", made, at("wxa000000000000001"), at("wxa000000000000002"), at("wxa000000000000003"), shown{
		Kind: KindTicket, Component: platform, Value: "ticket@@@easywechat3-" + ts, Where: "easywechat.open_platform.component_verify_ticket." + platform,
	})
}

// EasyWeChat's cache in Redis, as Symfony's and Laravel's adapters write it.
func TestEasyWeChat_Keys(t *testing.T) {
	t.Parallel()
	want := shown{Kind: KindTicket, Component: platform, Value: ticket, At: now.Add(-time.Minute)}
	wantKey(t, EasyWeChat, "", Entry{Key: "easywechat:open_platform.verify_ticket." + platform, Value: []byte(`s:13:"` + ticket + `";`), Left: 6000*time.Second - time.Minute}, want)
	wantKey(t, EasyWeChat, "", Entry{Key: "laravel_cache:easywechat.open_platform.verify_ticket." + platform, Value: []byte(`s:13:"` + ticket + `";`), Left: 59 * time.Minute}, want)
	want.Value, want.At, want.Fault = "", time.Time{}, "the value is no text, neither serialized by PHP nor plain"
	for _, value := range []string{`a:1:{s:1:"a";s:1:"b";}`, `s:99:"` + ticket + `";`, `s:-1:"";`, `s:13:"` + ticket, `{"a":1}`, "\x00\x00\x00\x02igbinary", `s:5000:"";`} {
		wantKey(t, EasyWeChat, "", Entry{Key: "open_platform.verify_ticket." + platform, Value: []byte(value)}, want)
	}
}

func TestFileEntry(t *testing.T) {
	t.Parallel()
	f := func(name, content string, want Entry, ok bool) {
		t.Helper()
		got, read := FileEntry(name, []byte(content), now)
		if diff := cmp.Diff(want, got); diff != "" && ok || read != ok {
			t.Errorf("%s %q: %v (-want +got):\n%s", name, content, read, diff)
		}
	}
	f("a/b", "0\nk%2Ee+y\nv\nw", Entry{Key: "k.e+y", Value: []byte("v\nw")}, true)
	f("a/b", "1\nk\nv", Entry{Key: "k", Value: []byte("v"), Left: time.Unix(1, 0).Sub(now)}, true)
	f("a/k.cache", `{"data":"v","lifeTime":0}`, Entry{Key: "k", Value: []byte(`"v"`)}, true)
	f("a/k.cache", `{"lifeTime":0}`, Entry{}, false)
	f("a/k.cache", `{"data":"v","lifeTime":-1}`, Entry{}, false)
	f("a/k.cache", `{"data":"v","lifeTime":1e300}`, Entry{}, false)
	f("a/[k][1].doctrinecache.data", "0\nv", Entry{Key: "k", Value: []byte("v")}, true)
	f("a/5b6b5d5b315d.doctrinecache.data", "0\nv", Entry{Key: "k", Value: []byte("v")}, true)
	for _, content := range []string{"", "x", "x\nk\nv", "0\nk", "-1\nk\nv", "99999999999999\nk\nv", "0\n%zz\nv"} {
		f("a/b", content, Entry{}, false)
	}
	f("a/x.doctrinecache.data", "<?php", Entry{}, false)
}

func FuzzFileEntry(f *testing.F) {
	f.Add("a/b", []byte("0\nopen_platform.verify_ticket."+platform+"\ns:13:\""+ticket+"\";"))
	f.Add("a/open_platform.verify_ticket."+platform+".cache", []byte(`{"data":"v","lifeTime":5}`))
	f.Add("a/5b6b5d5b315d.doctrinecache.data", []byte("0\nv"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		e, ok := FileEntry(name, content, now)
		if !ok {
			return
		}
		if !bytes.Contains(content, e.Value) {
			t.Errorf("%q is not in %q", e.Value, content)
		}
		if found, ok := EasyWeChat.Read("", e, now); ok && found.Fault == "" && (found.Kind == KindRefreshToken) != (found.AppID != "") {
			t.Errorf("%+v", found)
		}
	})
}
