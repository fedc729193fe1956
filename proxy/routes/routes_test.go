package routes_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

func newTable(tb testing.TB) *routes.Table {
	tb.Helper()
	table, err := routes.New()
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

func TestMatch(t *testing.T) {
	table := newTable(t)
	f := func(path, pattern string, kind routes.Kind, param string) {
		t.Helper()
		r := table.Match([]byte(path))
		if r.Pattern != pattern || r.Kind != kind || r.Param != param {
			t.Errorf("Match(%q) = %s %s %q, want %s %s %q", path, r.Pattern, r.Kind, r.Param, pattern, kind, param)
		}
	}
	const access, component = routes.AccessToken, routes.ComponentAccessToken
	f("/cgi-bin/menu/get", "/cgi-bin/menu/get", routes.Authorizer, access)
	f("/cgi-bin/menu/get/", "/cgi-bin/menu/get", routes.Authorizer, access)
	f("/cgi-bin/component/api_query_auth", "/cgi-bin/component/api_query_auth", routes.Component, component)
	f("/cgi-bin/component/api_component_token", "/cgi-bin/component/api_component_token", routes.None, "")
	// Below /cgi-bin/component/, and yet the authorizer's.
	f("/cgi-bin/component/setprivacysetting", "/cgi-bin/component/setprivacysetting", routes.Authorizer, access)
	f("/cgi-bin/component/uploadprivacyextfile", "/cgi-bin/component/uploadprivacyextfile", routes.Authorizer, access)
	f("/wxa/component/fastregisterpersonalweapp", "/wxa/component/fastregisterpersonalweapp", routes.Component, component)
	f("/wxa/component/new_api", "/wxa/component/*", routes.Component, access)
	f("/componenttcb/new_api", "/componenttcb/*", routes.Component, access)
	f("/componenttcb/", "*", routes.Authorizer, access)
	f("/wxa/componentry", "*", routes.Authorizer, access)
	f("/wxa/gettemplatelist", "/wxa/gettemplatelist", routes.Component, access)
	f("/sns/component/jscode2session", "/sns/component/jscode2session", routes.Component, component)
	f("/sns/userinfo", "/sns/userinfo", routes.User, "")
	f("/sns/auth", "/sns/auth", routes.User, "")
	f("/sns/jscode2session", "/sns/jscode2session", routes.None, "")
	f("/cgi-bin/openapi/quota/get", "/cgi-bin/openapi/quota/get", routes.Either, access)
	f("/cgi-bin/component/api_get_authorizer_option", "/cgi-bin/component/api_get_authorizer_option", routes.Either, access)
	f("/wxa/servicemarket", "/wxa/servicemarket", routes.Authorizer, access)
	f("/", "*", routes.Authorizer, access)
	f("", "*", routes.Authorizer, access)
}

func TestCatalogue_Counts(t *testing.T) {
	count := map[routes.Kind]int{}
	for _, r := range newTable(t).All() {
		if r.Catalogued && !strings.Contains(r.Pattern, "?") {
			count[r.Kind]++
		}
	}
	want := map[routes.Kind]int{routes.Authorizer: 1552, routes.Component: 77, routes.Either: 15, routes.None: 9, routes.User: 2}
	for kind, n := range want {
		if count[kind] != n {
			t.Errorf("%d paths of kind %s, want %d", count[kind], kind, n)
		}
	}
}

func TestFamilies_AreBounded(t *testing.T) {
	table := newTable(t)
	families := table.Families()
	if len(families) > 520 {
		t.Errorf("%d families", len(families))
	}
	for _, r := range table.All() {
		if families[r.FamilyID] != r.Family {
			t.Errorf("%s: family %d is %q, want %q", r.Pattern, r.FamilyID, families[r.FamilyID], r.Family)
		}
	}
	if got := table.Match([]byte("/no/such/path")).Family; got != routes.Other {
		t.Errorf("family of an unknown path = %q", got)
	}
}

func TestExplain(t *testing.T) {
	table := newTable(t)
	f := func(path string, parts ...string) {
		t.Helper()
		got := table.Explain(path)
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("Explain(%q) = %q, want %q in it", path, got, part)
			}
		}
	}
	f("/sns/userinfo?lang=zh_CN", "untouched")
	f("/wxa/component/x", "matched by /wxa/component/*", "component's token")
	f("cgi-bin/token", "/cgi-bin/token: no token is added", "answered from memory")
	f("wx0123456789abcdef/cgi-bin/token", "/cgi-bin/token: no token is added")
	// Calls may have empty segments, which do not count.
	f("//cgi-bin/message/mass/delete", "/cgi-bin/message/mass/delete: the account's token")
	f("http://api.weixin.qq.com//cgi-bin//token?a=//b", "/cgi-bin/token: no token is added")
	f("/wx0123456789abcdef//cgi-bin/token", "/cgi-bin/token: no token is added")
	f("/no/such", "does not know the path", "account's token in access_token")
	f("/cgi-bin/menu/get", "documentation: https://developers.weixin.qq.com/", "family: /cgi-bin/menu")
	f("/sns/component/jscode2session", "component's token in component_access_token\n")
	f("/wxa/gettemplatelist", "component's token in access_token\n")
	f("/wxa/component/x", "component's token in access_token, or under the name that the caller uses")
	f("/cgi-bin/clear_quota", "if the call names an account")
	f("/cgi-bin/token", "no token is added")
	f("/wxa/getdefaultamsinfo?action=get_share_ratio", "/wxa/getdefaultamsinfo?action=get_share_ratio: the component's token in access_token",
		"this action", "family: /wxa/getdefaultamsinfo\n", "api_getshareratio.html")
	f("/wxa/getdefaultamsinfo", "/wxa/getdefaultamsinfo: the account's token", "with action=get_share_ratio: the component's token")
}

func TestFor_ActionsDecide(t *testing.T) {
	table := newTable(t)
	f := func(path, query string, kind routes.Kind) {
		t.Helper()
		base := table.Match([]byte(path))
		if r := base.For([]byte(query)); r.Kind != kind || r.Family != base.Family {
			t.Errorf("%s?%s = %s %s, want %s", path, query, r.Pattern, r.Kind, kind)
		}
	}
	const get, set = "/wxa/getdefaultamsinfo", "/wxa/setdefaultamsinfo"
	f(get, "action=get_share_ratio", routes.Component)
	f(get, "a=1&action=agency_get_custom_share_ratio&access_token=x", routes.Component)
	f(get, "action=get_agency_settled_revenue", routes.Component)
	f(get, "action=agency_get_adunit_list", routes.Authorizer)
	f(get, "action=set_share_ratio", routes.Authorizer)
	f(get, "action=get_share_ratio_", routes.Authorizer)
	f(get, "action=other&action=get_share_ratio", routes.Authorizer)
	f(get, "xaction=get_share_ratio", routes.Authorizer)
	f(get, "action", routes.Authorizer)
	f(get, "", routes.Authorizer)
	f(set, "action=set_share_ratio", routes.Component)
	f(set, "action=agency_set_custom_share_ratio", routes.Component)
	f("/cgi-bin/menu/get", "action=get_share_ratio", routes.Authorizer)
}

func TestFor_DoesNotAllocate(t *testing.T) {
	r, query := newTable(t).Match([]byte("/wxa/getdefaultamsinfo")), []byte("a=1&action=get_share_ratio")
	if n := testing.AllocsPerRun(100, func() { r.For(query) }); n != 0 {
		t.Errorf("For allocates %v times", n)
	}
}

func TestMatch_DoesNotAllocate(t *testing.T) {
	table := newTable(t)
	for _, path := range [][]byte{[]byte("/cgi-bin/message/custom/send"), []byte("/wxa/component/zzz"), []byte("/no/such")} {
		if n := testing.AllocsPerRun(100, func() { table.Match(path) }); n != 0 {
			t.Errorf("Match(%s) allocates %v times", path, n)
		}
	}
}

func FuzzMatch(f *testing.F) {
	table := newTable(f)
	for _, seed := range []string{"/", "", "/wxa/component/", "/cgi-bin/token/", "/componenttcb/x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		r := table.Match(path)
		p := strings.TrimSuffix(string(path), "/")
		switch {
		case r == nil:
			t.Fatal("no route")
		case r.Catalogued && r.Pattern != p:
			t.Errorf("%q matched %s", path, r.Pattern)
		case !r.Catalogued && r.Family != routes.Other && !strings.HasPrefix(p, strings.TrimSuffix(r.Pattern, "*")):
			t.Errorf("%q matched %s", path, r.Pattern)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	table := newTable(b)
	path := []byte("/cgi-bin/message/custom/send")
	b.ReportAllocs()
	for b.Loop() {
		table.Match(path)
	}
}

func ExampleTable_Match() {
	table, err := routes.New()
	if err != nil {
		panic(err)
	}
	r := table.Match([]byte("/wxa/gettemplatelist"))
	fmt.Println(r.Kind, r.Param)
	// Output: component access_token
}

// The program has the catalogue as it stands, not as it stood.
func TestCatalogue_IsPacked(t *testing.T) {
	text, err := os.ReadFile("routes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("routes.tsv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if packed, err := io.ReadAll(r); err != nil || !bytes.Equal(packed, text) {
		t.Errorf("routes.tsv.gz is not routes.tsv (%v): run make generate", err)
	}
}
