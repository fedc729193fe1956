package proxy

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// placeholders are what an app sends in place of a token; the simulator notes
// each that reaches it.
const (
	appToken          = "access_token=APP-placeholder"
	appComponentToken = "component_access_token=APP-placeholder"
)

// visit is one call of a path, and what WeChat must have seen of it.
type visit struct {
	method, path, query, body string
	headers                   []string
	// kind and name are of the token that reached WeChat; KindNone for none.
	kind wechattest.Kind
	name string
	// want is a text in the answer; empty for any that is no error.
	want string
	// ours says that the answer is the sidecar's and WeChat saw nothing.
	ours bool
	// users says that a user's own token or a page's ticket is in the answer, which
	// the app must get.
	users bool
}

// tour calls every path of the catalogue.
type tour struct {
	*world
	t       *testing.T
	visits  []visit
	refresh map[bool]string // users' refresh tokens, by whether a component asked
}

// Every path of the catalogue is accepted by the simulator, which has its own
// list of exceptions, under each parameter name, and nothing that is secret
// comes back.
func TestCatalogue_EveryPathIsAccepted(t *testing.T) {
	c := &tour{world: newWorld(t, Options{}), t: t, refresh: map[bool]string{}}
	table, err := routes.New()
	if err != nil {
		t.Fatal(err)
	}
	paths := 0
	for _, r := range table.All() {
		if !r.Catalogued {
			continue
		}
		path, action, _ := strings.Cut(r.Pattern, "?action=")
		if action == "" {
			paths++
		}
		c.visitAll(path, action, r.Param)
	}
	if paths != 1655 {
		t.Errorf("%d paths, want 1655", paths)
	}
	c.compare()
}

// visitAll calls a path in each way that its rule allows. The token is to come under
// name, whatever name the app uses.
func (c *tour) visitAll(path, action, name string) {
	if c.visitEmulated(path) {
		return
	}
	query := ""
	if action != "" {
		query = "action=" + action
	}
	const account, comp = wechattest.KindAuthorizer, wechattest.KindComponent
	v := visit{path: path, query: query}
	switch rule := wechattest.RuleOf(path, action); rule {
	case wechattest.RuleAccount:
		c.visit(v.as(account, "access_token").with(forMerchant()))
		c.visit(v.as(account, "access_token").with(forMerchant()).asking(appToken))
	case wechattest.RuleComponent, wechattest.RuleComponentName:
		for _, sent := range []string{"", appToken, appComponentToken} {
			c.visit(v.as(comp, name).asking(sent))
		}
	case wechattest.RuleEither:
		c.visit(v.as(comp, name))
		c.visit(v.as(comp, name).asking(appComponentToken))
		c.visit(v.as(account, "access_token").with(forMerchant()).asking(appToken))
	case wechattest.RuleNone:
		c.visit(v.asking(appToken))
		c.visit(v)
	case wechattest.RuleUser:
		user, openID := c.sim.UserToken(own)
		c.visit(v.as(wechattest.KindUser, "access_token").asking("openid=" + openID + "&access_token=" + user))
	default:
		c.t.Fatalf("%s: no visit is known for the rule %s", path, rule)
	}
}

func (v visit) as(kind wechattest.Kind, name string) visit { v.kind, v.name = kind, name; return v }

func (v visit) with(header string) visit { v.headers = append(v.headers, header); return v }

func (v visit) asking(query string) visit {
	v.query = strings.Trim(v.query+"&"+query, "&")
	return v
}

// visitEmulated calls the endpoints that the sidecar answers itself; false for
// another path.
func (c *tour) visitEmulated(path string) bool {
	v := visit{path: path, ours: true, want: `":"wxs_`}
	switch path {
	case "/cgi-bin/token":
		for _, appid := range []string{own, merchant} {
			c.visit(v.asking("grant_type=client_credential&secret=placeholder&appid=" + appid))
		}
	case "/cgi-bin/stable_token":
		for _, appid := range []string{own, merchant} {
			v.body = `{"grant_type":"client_credential","appid":"` + appid + `","secret":null}`
			c.visit(v)
		}
	case "/cgi-bin/component/api_component_token":
		v.body = componentBody(`"component_appsecret":"APP-x","component_verify_ticket":null`)
		c.visit(v)
	case "/cgi-bin/component/api_authorizer_token":
		v.body = componentBody(`"authorizer_appid":"` + merchant + `","authorizer_refresh_token":""`)
		for _, sent := range []string{"", appToken, appComponentToken} {
			c.visit(v.asking(sent))
		}
	case "/cgi-bin/ticket/getticket":
		v.want, v.users = `"ticket":"`, true
		for _, kind := range []string{"jsapi", "wx_card"} {
			c.visit(v.with(forMerchant()).asking(appToken + "&type=" + kind))
		}
	default:
		return false
	}
	return true
}

func componentBody(members string) string {
	return `{"component_appid":"` + component + `",` + members + `}`
}

// visit makes the call in the methods that the path takes.
func (c *tour) visit(v visit) {
	switch c.fill(&v); {
	case v.method != "":
		c.call(v)
	case v.body != "":
		v.method = "POST"
		c.call(v)
	default:
		v.method = "GET"
		c.call(v)
		if !v.ours {
			v.method, v.body = "POST", `{"a":"b"}`
			c.call(v)
		}
	}
}

// fill adds what the simulator demands of the few paths with a behaviour of
// their own.
func (c *tour) fill(v *visit) {
	onBehalf := "grant_type=authorization_code&component_appid=" + component + "&appid=" + merchant
	alone := "grant_type=authorization_code&secret=APP-secret&appid=" + own
	get := func(query string) { v.method, v.query = "GET", v.asking(query).query }
	byComponent := strings.Contains(v.path, "/component/")
	appid := component
	if v.kind == wechattest.KindAuthorizer {
		appid = merchant
	}
	switch v.path {
	case "/cgi-bin/media/upload":
		v.body = "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.jpg\"\r\n\r\njpeg\r\n--b--\r\n"
		*v = v.with("Content-Type: multipart/form-data; boundary=b").asking("type=image")
	case "/cgi-bin/media/get":
		get("media_id=" + wechattest.MediaOfSize(100))
	case "/cgi-bin/message/custom/send":
		v.body = `{"touser":"o","msgtype":"text","text":{"content":"<你好>"}}`
	case "/cgi-bin/clear_quota":
		v.body = `{"appid":"` + appid + `"}`
	case "/cgi-bin/clear_quota/v2":
		v.body = `{"appid":"` + own + `","appsecret":"APP-secret"}`
	case "/cgi-bin/component/clear_quota":
		v.body = `{"component_appid":"` + component + `"}`
	case "/cgi-bin/component/clear_quota/v2":
		v.body = componentBody(`"appid":"` + merchant + `","appsecret":"APP-secret"`)
	case "/cgi-bin/openapi/quota/get":
		v.body = `{"cgi_path":"/cgi-bin/menu/get"}`
	case "/cgi-bin/callback/check":
		v.body = `{"action":"all","check_operator":"DEFAULT"}`
	case "/cgi-bin/get_api_domain_ip", "/cgi-bin/getcallbackip", "/sns/userinfo", "/sns/auth":
		v.method = "GET"
	case "/cgi-bin/component/api_start_push_ticket":
		v.body = componentBody(`"component_secret":"APP-secret"`)
	case "/cgi-bin/component/api_create_preauthcode":
		v.body = `{"component_appid":"` + component + `"}`
	case "/cgi-bin/component/api_query_auth":
		v.body = componentBody(`"authorization_code":"` + c.sim.Authorize(component, merchant2) + `"`)
		v.kind = wechattest.KindNone // the broker makes the call
		v.ours = true
	case "/cgi-bin/component/api_get_authorizer_list":
		v.body = componentBody(`"offset":0,"count":500`)
	case "/cgi-bin/component/api_get_authorizer_info":
		v.body = componentBody(`"authorizer_appid":"` + merchant + `"`)
	case "/cgi-bin/component/get_authorizer_option", "/cgi-bin/component/api_get_authorizer_option":
		v.body = componentBody(`"authorizer_appid":"` + merchant + `","option_name":"voice_recognize"`)
	case "/cgi-bin/component/set_authorizer_option", "/cgi-bin/component/api_set_authorizer_option":
		v.body = componentBody(`"authorizer_appid":"` + merchant + `","option_name":"voice_recognize","option_value":"1"`)
	case "/sns/jscode2session":
		get(alone + "&js_code=" + c.sim.LoginCode(own))
	case "/sns/component/jscode2session":
		get(onBehalf + "&js_code=" + c.sim.LoginCode(merchant))
	case "/sns/oauth2/access_token":
		v.users = true
		get(alone + "&code=" + c.sim.LoginCode(own))
	case "/sns/oauth2/component/access_token":
		v.users = true
		get(onBehalf + "&code=" + c.sim.LoginCode(merchant))
	case "/sns/oauth2/refresh_token":
		v.users = true
		get("grant_type=refresh_token&appid=" + own + "&refresh_token=" + c.refresh[byComponent])
	case "/sns/oauth2/component/refresh_token":
		v.users = true
		get("grant_type=refresh_token&component_appid=" + component +
			"&appid=" + merchant + "&refresh_token=" + c.refresh[byComponent])
	}
}

// call makes the call, marked so that it is found in the simulator's record.
func (c *tour) call(v visit) {
	c.t.Helper()
	v = v.asking(fmt.Sprintf("visit=%d", len(c.visits)))
	c.visits = append(c.visits, v)
	target := v.path + "?" + v.query
	var got answer
	if v.users {
		got = c.sidecar.call(c.t, v.method, target, v.body, v.headers...)
		if text, _ := decode(c.t, got)["refresh_token"].(string); text != "" {
			c.refresh[strings.Contains(v.path, "/component/")] = text
		}
	} else {
		got = c.world.call(c.t, v.method, target, v.body, v.headers...)
	}
	if got.err != nil || got.status != 200 || findErrcode([]byte(got.body)) != 0 || !strings.Contains(got.body, v.want) {
		c.t.Errorf("%s %s %v: %d %.200q %v", v.method, target, v.headers, got.status, got.body, got.err)
	}
}

// compare looks in the simulator's record for every call: whose token came, and
// under which name.
func (c *tour) compare() {
	seen := map[string]wechattest.Request{}
	for _, r := range c.sim.Requests() {
		u, err := url.Parse(r.URI)
		if err != nil {
			c.t.Fatal(err)
		}
		if mark := u.Query().Get("visit"); mark != "" {
			seen[mark] = r
		}
	}
	for i, v := range c.visits {
		r, found := seen[fmt.Sprint(i)]
		switch {
		case found == v.ours:
			c.t.Errorf("%s %s?%s: reached WeChat: %v", v.method, v.path, v.query, found)
		case v.ours:
		case r.Path != v.path || r.Method != v.method || r.TokenKind != v.kind:
			c.t.Errorf("%s %s?%s: WeChat saw %s %s with a token of kind %q, want %q", v.method, v.path, v.query, r.Method, r.Path, r.TokenKind, v.kind)
		case v.kind == wechattest.KindAuthorizer && r.TokenAppID != merchant:
			c.t.Errorf("%s?%s: WeChat saw the token of %s", v.path, v.query, r.TokenAppID)
		case v.name != "" && !strings.Contains("&"+strings.ReplaceAll(r.URI, "?", "&"), "&"+v.name+"="):
			c.t.Errorf("%s?%s: the token did not come as %s", v.path, v.query, v.name)
		}
	}
}
