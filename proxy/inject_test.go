package proxy

import (
	"net/url"
	"strings"
	"testing"
)

const allNamed = hasAccessToken | hasComponentToken | hasFromAppID

func TestAppendQuery(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		if got := string(appendQuery(nil, []byte(query), allNamed, "access_token", "T")); got != want {
			t.Errorf("appendQuery(%q) = %q, want %q", query, got, want)
		}
	}
	f("", "access_token=T")
	f("a=1", "a=1&access_token=T")
	f("access_token=x", "access_token=T")
	f("access_token", "access_token=T")
	f("access_token=x&a=1", "a=1&access_token=T")
	f("a=1&access_token=x", "a=1&access_token=T")
	f("a=1&access_token=x&b=2", "a=1&b=2&access_token=T")
	f("access_token=x&access_token=y&component_access_token=z&from_appid=w", "access_token=T")
	f("a=%2f+%E4%bd%A0&b=你&&c", "a=%2f+%E4%bd%A0&b=你&&c&access_token=T")
	f("&a=1&", "&a=1&&access_token=T")
	f("my_access_token=x&access_tokens=y", "my_access_token=x&access_tokens=y&access_token=T")
	f("next=access_token=x", "next=access_token=x&access_token=T")
}

func TestAppendQuery_Edges(t *testing.T) {
	f := func(query string, drop paramSet, param, token, want string) {
		t.Helper()
		if got := string(appendQuery([]byte("kept?"), []byte(query), drop, param, token)); got != "kept?"+want {
			t.Errorf("appendQuery(%q, %d, %q) = %q, want %q", query, drop, param, got, want)
		}
	}
	f("access_token=user&openid=o", 0, "", "", "access_token=user&openid=o")
	f("access_token=x&appid=a", hasAccessToken, "", "", "appid=a")
	f("a=1", 0, "component_access_token", "t&=%+ /~", "a=1&component_access_token=t%26%3D%25%2B%20%2F~")
	f("from_appid=w&a=1", hasAccessToken, "access_token", "T", "from_appid=w&a=1&access_token=T")
}

func TestScanQuery(t *testing.T) {
	f := func(query string, want paramSet, token, from string) {
		t.Helper()
		p, fault := scanQuery([]byte(query))
		if fault != nil {
			t.Errorf("scanQuery(%q): %v", query, fault)
			return
		}
		if p.present != want || string(p.token) != token || string(p.from) != from {
			t.Errorf("scanQuery(%q) = %d %q %q, want %d %q %q", query, p.present, p.token, p.from, want, token, from)
		}
	}
	f("", 0, "", "")
	f("a=1&b=2", 0, "", "")
	f("access_token=x", hasAccessToken, "x", "")
	f("access_token=&component_access_token=y", hasAccessToken|hasComponentToken, "y", "")
	f("access_token=x&access_token=y", hasAccessToken, "x", "")
	f("access_token=wxs_a&component_access_token=wxs_a", hasAccessToken|hasComponentToken, "wxs_a", "")
	f("access_token=wxs%5Fa%5f%77x1&access_token=wxs_a_wx1", hasAccessToken, "wxs_a_wx1", "")
	f("access_token=%41%5F", hasAccessToken, "%41%5F", "")
	f("from_appid=wx1", hasFromAppID, "", "wx1")
	f("a=;b&c=x;y", 0, "", "")
	f("text=%E4%BD%A0%20%2541&x=%", 0, "", "")
	f("redirect=https%3A%2F%2Fx%2F%3Faccess_token%3D1", 0, "", "")
	f("user_access_token=1&access_token_x=2", 0, "", "")
}

func TestScanQuery_Refuses(t *testing.T) {
	for _, query := range []string{
		"access%5Ftoken=x", "access%5ftoken", "%61ccess_token=x", "access%255Ftoken=x", "%2561ccess_token=x",
		"Access_Token=x", "ACCESS_TOKEN=x", "component%5Faccess_token=x", "Component_Access_Token=1",
		"a=1;access_token=x", ";access_token=x", "access_token=a;b=1", "a;component_access_token", "a=1;access%5Ftoken=x",
		"access_token[]=x", "access_token%5B%5D=x", "access_token[0]=x", "+access_token=x", "%20access_token=x",
		"access_token%20=x", "access_token%00=x", "access_token%2500=x",
		"access_token=wxs_a&access_token=wxs_b", "access_token=wxs_a&component_access_token=wxs_b",
		"access_token=wxs_a&access_token=x", "access_token=x&component_access_token=wxs_a",
		"a=%0d%0aX:1", "a=%00", "a=%7f", "%0A", "x=%1f",
	} {
		if _, fault := scanQuery([]byte(query)); fault == nil {
			t.Errorf("scanQuery(%q) was not refused", query)
		} else if fault.status != 400 || fault.code != "bad_request" {
			t.Errorf("scanQuery(%q): %d %s", query, fault.status, fault.code)
		}
	}
}

// Whatever comes in, exactly our token goes out under a token's name, and every
// other parameter goes out as it came.
func FuzzInject(f *testing.F) {
	for _, seed := range []string{
		"", "a=1", "access_token=x&b=2", "&&", "a=1&access_token", "access%5Ftoken=x", "%", "a=%zz", "x;access_token=1",
		"from_appid=wx&component_access_token=1", "ACCESS_TOKEN=1", "access_token[]=1", "a=1&=&access_token=&",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if _, fault := scanQuery([]byte(query)); fault != nil {
			return
		}
		got := string(appendQuery(nil, []byte(query), allNamed, "access_token", "T"))
		var kept []string
		for piece := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(piece, "=")
			if name != "access_token" && name != "component_access_token" && name != "from_appid" {
				kept = append(kept, piece)
			}
		}
		want := strings.Join(kept, "&")
		if want != "" {
			want += "&"
		}
		if want += "access_token=T"; got != want {
			t.Fatalf("%q became %q, want %q", query, got, want)
		}
		for twice := got; ; {
			values, _ := url.ParseQuery(twice)
			for name, all := range values {
				bare := strings.ToLower(strings.Trim(name, " \x00"))
				if (bare == "access_token" || bare == "component_access_token") && (len(all) != 1 || all[0] != "T") {
					t.Fatalf("%q became %q, in which net/url finds %q = %q", query, got, name, all)
				}
			}
			once, err := url.PathUnescape(twice)
			if err != nil || once == twice || strings.ContainsAny(query, "%") {
				return
			}
			twice = once
		}
	})
}
