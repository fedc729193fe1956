package imports

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const (
	platform = "wx7f00c0de00000001"
	merchant = "wxa000000000000001"
	ticket   = "ticket@@@some"
	refresh  = "refreshtoken@@@some"
	access   = "61_some"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// shown is a finding as a test writes it.
type shown struct {
	Kind                    Kind
	Component, AppID, Value string
	At, Dies                time.Time
	Where, Fault            string
}

func show(f Finding) shown {
	return shown{f.Kind, f.Component, f.AppID, f.Value.Reveal(), f.At, f.Dies, f.Where, f.Fault}
}

// wantKey wants an entry to be read so; the zero value for a key that is none of the source's.
func wantKey(t *testing.T, s Source, prefix string, e Entry, want shown) {
	t.Helper()
	f, ok := s.Read(prefix, e, now)
	if ok {
		want.Where = e.Key
	}
	if diff := cmp.Diff(want, show(f)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", e.Key, diff)
	}
}

// left returns what a source finds in what an SDK left in a Redis.
func left(t *testing.T, file string, s Source, prefix string) (got []shown) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var entry struct {
			Key, Value string
			PX         int64
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		e := Entry{Key: entry.Key, Value: []byte(entry.Value), Left: max(0, time.Duration(entry.PX)*time.Millisecond)}
		if f, ok := s.Read(prefix, e, now); ok {
			got = append(got, show(f))
		}
	}
	return got
}

// What WxJava itself left in a Redis, under a prefix.
func TestWxJava_Left(t *testing.T) {
	t.Parallel()
	at := func(appID string) shown {
		return shown{
			Kind: KindRefreshToken, Component: platform, AppID: appID, Value: "refreshtoken@@@wxjava-" + appID + "-" + strings.Repeat("R", 20),
			Where: "shop:wechat_authorizer_refresh_token:" + platform + ":" + appID,
		}
	}
	want := []shown{
		at("wxa000000000000001"), at("wxa000000000000002"), at("wxa000000000000003"),
		{
			Kind: KindComponentToken, Component: platform, Value: "61_component-token-of-wxjava-" + strings.Repeat("C", 100), Dies: now.Add(2 * time.Hour),
			Where: "shop:wechat_component_access_token:" + platform,
		},
		{
			Kind: KindTicket, Component: platform, Value: "ticket@@@wxjava-" + strings.Repeat("T", 60), At: now,
			Where: "shop:wechat_component_verify_ticket:" + platform,
		},
	}
	for _, prefix := range []string{"", "shop"} {
		if diff := cmp.Diff(want, left(t, "wxjava.json", WxJava, prefix)); diff != "" {
			t.Errorf("prefix %q (-want +got):\n%s", prefix, diff)
		}
	}
}

func TestWxJava(t *testing.T) {
	t.Parallel()
	f := func(prefix, key, value string, left time.Duration, want shown) {
		t.Helper()
		wantKey(t, WxJava, prefix, Entry{Key: key, Value: []byte(value), Left: left}, want)
	}
	const life = math.MaxInt32 * time.Second
	aTicket := shown{Kind: KindTicket, Component: platform, Value: ticket, At: now.Add(-time.Hour)}
	aRefresh := shown{Kind: KindRefreshToken, Component: platform, AppID: merchant, Value: refresh}
	f("", "wechat_component_verify_ticket:"+platform, ticket, life-time.Hour, aTicket)
	f("", "a:b:wechat_component_verify_ticket:"+platform, ticket, life-time.Hour, aTicket)
	f("a:b", "a:b:wechat_component_verify_ticket:"+platform, ticket, life-time.Hour, aTicket)
	f("a", "b:wechat_component_verify_ticket:"+platform, ticket, life-time.Hour, shown{})
	f("", "wechat_component_verify_ticket:"+platform, ticket, 0, shown{Kind: KindTicket, Component: platform, Value: ticket})
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, refresh, 0, aRefresh)
	f("", "wechat_authorizer_refresh_token:"+platform, refresh, 0, shown{Kind: KindRefreshToken, Component: platform, Fault: "no appid of a merchant stands there"})
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, "", 0, shown{Kind: KindRefreshToken, Component: platform, AppID: merchant})
	f("", "wechat_component_access_token:"+platform, access, time.Minute, shown{Kind: KindComponentToken, Component: platform, Value: access, Dies: now.Add(time.Minute + 200*time.Second)})
	f("", "wechat_authorizer_access_token:"+platform+":"+merchant, access, 0, shown{})

	// Redisson's codecs.
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, `"`+refresh+`"`, 0, aRefresh)
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, "\xac\xed\x00\x05t\x00\x13"+refresh, 0, aRefresh)
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, "\x03refreshtoken@@@som\xe5", 0, aRefresh)
	long := "refreshtoken@@@" + string(bytes.Repeat([]byte("x"), 43))
	aRefresh.Value = long
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, "\x03\xbb"+long, 0, aRefresh)
	longer := "ticket@@@" + string(bytes.Repeat([]byte("x"), 85))
	f("", "wechat_component_verify_ticket:"+platform, "\x03\xdf\x01"+longer, 0, shown{Kind: KindTicket, Component: platform, Value: longer})

	unknown := shown{Kind: KindRefreshToken, Component: platform, AppID: merchant, Fault: "the value is in a form of Redisson's that is not known: have StringCodec, JsonJacksonCodec or Kryo5Codec write it, or use CSV"}
	for _, value := range []string{"\x03", "\x03\xbb" + refresh, "\x03" + refresh, "\xac\xed\x00\x05t\x00\x14" + refresh, "\xac\xed\x00\x05sr", `"open`, "\x04\x3e\x13" + refresh, "\x03\xff\xff\xff\xff\xff\xff"} {
		f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, value, 0, unknown)
	}
	unknown.Fault = "the value is not one printable word, as WeChat's are"
	f("", "wechat_authorizer_refresh_token:"+platform+":"+merchant, "two words", 0, unknown)
	wantKey(t, WxJava, "", Entry{Key: "wechat_authorizer_refresh_token:" + platform + ":" + merchant, Fault: "the key holds no string"},
		shown{Kind: KindRefreshToken, Component: platform, AppID: merchant, Fault: "the key holds no string"})
}

// What wechatpy itself left in a Redis.
func TestWechatpy(t *testing.T) {
	t.Parallel()
	got := left(t, "wechatpy.json", Wechatpy, "")
	if others := left(t, "wechatpy.json", Wechatpy, "other"); len(others) > 0 {
		t.Errorf("under another prefix: %+v", others)
	}
	at := func(appID string) shown {
		return shown{
			Kind: KindRefreshToken, AppID: appID, Value: "refreshtoken@@@wechatpy-" + appID + "-R-R-R-R-R-R-R-R", Where: "wechatpy:" + appID + "_refresh_token",
		}
	}
	want := []shown{
		{
			Kind: KindComponentToken, Component: platform, Value: "61_component-token-of-wechatpy-" + string(bytes.Repeat([]byte("C"), 100)),
			Dies: now.Add(2 * time.Hour), Where: "wechatpy:" + platform + "_component_access_token",
		},
		{
			Kind: KindTicket, Component: platform, Value: "ticket@@@wechatpy-" + string(bytes.Repeat([]byte("T"), 60)),
			Where: "wechatpy:" + platform + "_component_verify_ticket",
		},
		at("wxa000000000000001"), at("wxa000000000000002"), at("wxa000000000000003"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantKey(t, Wechatpy, "", Entry{Key: "wechatpy:" + merchant + "_refresh_token", Value: []byte(refresh)},
		shown{Kind: KindRefreshToken, AppID: merchant, Fault: "the value is no text in JSON, as wechatpy's session writes it"})
}

// The patterns find each other's keys never, and a prefix is no pattern.
func TestSource_Patterns(t *testing.T) {
	t.Parallel()
	f := func(s Source, prefix string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, s.Patterns(prefix)); diff != "" {
			t.Errorf("%s with prefix %q (-want +got):\n%s", s.Name, prefix, diff)
		}
	}
	f(WxJava, "", "*wechat_component_verify_ticket:*", "*wechat_authorizer_refresh_token:*", "*wechat_component_access_token:*")
	f(WxJava, "a*:", `a\*:wechat_component_verify_ticket:*`, `a\*:wechat_authorizer_refresh_token:*`, `a\*:wechat_component_access_token:*`)
	f(Wechatpy, "", "wechatpy:*_component_verify_ticket", "wechatpy:*_refresh_token", "wechatpy:*_component_access_token")
	f(EasyWeChat, "laravel_cache", "laravel_cacheopen_platform.verify_ticket.*", "laravel_cacheopen_platform.component_verify_ticket.*",
		"laravel_cacheopen_platform.authorizer_refresh_token.*", "laravel_cacheopen_platform.component_access_token.*")
	f(Wechatpy, "[x]", `\[x\]:*_component_verify_ticket`, `\[x\]:*_refresh_token`, `\[x\]:*_component_access_token`)
}

// No secret stands in what is shown.
func TestFinding_ShowsNoSecret(t *testing.T) {
	t.Parallel()
	f := Finding{Kind: KindRefreshToken, AppID: merchant, Value: secret.New("two words"), Where: "line 1"}.checked()
	if f.Fault == "" || strings.Contains(f.Fault, "two words") || !f.Value.IsZero() {
		t.Errorf("%+v", f)
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("wechat_component_verify_ticket:"+platform, []byte("\x03\xdf\x01"+ticket))
	f.Add("wechatpy:"+merchant+"_refresh_token", []byte(`"`+refresh+`"`))
	f.Add("x.open_platform.authorizer_refresh_token."+platform+"."+merchant, []byte(`s:19:"`+refresh+`";`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		for _, s := range []Source{WxJava, Wechatpy, EasyWeChat} {
			got, ok := s.Read("", Entry{Key: key, Value: value}, now)
			text := got.Value.Reveal()
			if !ok || text == "" || bytes.IndexByte(value, '\\') >= 0 {
				continue // escapes of JSON stand for something else
			}
			if got.Fault != "" || !bytes.Contains(value, []byte(text[:len(text)-1])) { // Kryo marks the last byte
				t.Errorf("%q: %q, fault %q, of %q", key, text, got.Fault, value)
			}
		}
	})
}

// What stands in a key is shown to people: it moves no cursor.
func TestSource_ShowsKeysPlain(t *testing.T) {
	t.Parallel()
	f, ok := WxJava.Read("", Entry{Key: "wechat_authorizer_refresh_token:" + platform + ":a\x1b[31m\x00\xff甲\n", Value: []byte("x")}, now)
	if want := "wechat_authorizer_refresh_token:" + platform + `:a\x1b[31m\x00\xff甲\n`; !ok || f.Where != want || f.AppID != "" || f.Fault == "" {
		t.Errorf("%q, %q, fault %q", f.Where, f.AppID, f.Fault)
	}
}
