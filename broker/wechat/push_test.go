package wechat_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	pushComponent = "wx7f00c0de00000001"
	pushMerchant  = "wxa000000000000001"
)

// inXML returns a push of the given InfoType with more elements after it.
func inXML(infoType, more string) string {
	return "<xml><AppId><![CDATA[" + pushComponent + "]]></AppId><CreateTime>1700000000</CreateTime><InfoType><![CDATA[" +
		infoType + "]]></InfoType>" + more + "</xml>"
}

func diffPush(got, want wechat.Push) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) }))
}

func TestParsePush_InfoTypes(t *testing.T) {
	created := time.Unix(1700000000, 0)
	f := func(name, plain string, want wechat.Push) {
		t.Helper()
		got, err := wechat.ParsePush([]byte(plain))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if len(got.ID) != 32 {
			t.Errorf("%s: ID %q has not 32 digits", name, got.ID)
		}
		if got.Document.Reveal() != plain {
			t.Errorf("%s: the document is %s", name, got.Document.Reveal())
		}
		got.ID, got.Document = "", secret.Text{}
		want.Component, want.CreateTime = pushComponent, created
		if d := diffPush(got, want); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	f("ticket", inXML("component_verify_ticket", "<ComponentVerifyTicket><![CDATA[ticket@@@abc==]]></ComponentVerifyTicket>"),
		wechat.Push{InfoType: wechat.InfoTicket, Ticket: secret.New("ticket@@@abc==")})
	authorized := "<AuthorizerAppid>" + pushMerchant + "</AuthorizerAppid><AuthorizationCode>queryauthcode@@@x</AuthorizationCode>" +
		"<AuthorizationCodeExpiredTime>1700003600</AuthorizationCodeExpiredTime><PreAuthCode>preauthcode@@@y</PreAuthCode>"
	want := wechat.Push{
		InfoType: wechat.InfoAuthorized, AuthorizerAppID: pushMerchant,
		Code: secret.New("queryauthcode@@@x"), CodeExpires: time.Unix(1700003600, 0),
	}
	f("authorized", inXML("authorized", authorized), want)
	want.InfoType = wechat.InfoUpdateAuthorized
	f("updateauthorized", inXML("updateauthorized", authorized), want)
	f("upper case", inXML("UpdateAuthorized", authorized), want)
	want.CodeExpires = created.Add(600 * time.Second)
	f("an end in seconds from now", inXML("updateauthorized", strings.ReplaceAll(authorized, "1700003600", "600")), want)
	want.CodeExpires = time.Time{}
	f("an end that is no time", inXML("updateauthorized", strings.ReplaceAll(authorized, "1700003600", "过期时间")), want)
	twice := "<AuthorizationCodeExpiredTime>600</AuthorizationCodeExpiredTime>"
	f("two ends", inXML("updateauthorized", authorized+twice), want)
	f("no code", inXML("authorized", "<AuthorizerAppid>"+pushMerchant+"</AuthorizerAppid>"),
		wechat.Push{InfoType: wechat.InfoAuthorized, AuthorizerAppID: pushMerchant})
	f("unauthorized", inXML("unauthorized", "\n <AuthorizerAppid>\n"+pushMerchant+" </AuthorizerAppid>\n"),
		wechat.Push{InfoType: wechat.InfoUnauthorized, AuthorizerAppID: pushMerchant})
	info := "<msg>OK</msg><info><name>a &amp; b</name><code>1</code><appid>wrong</appid><status>9</status></info>"
	fast := "<appid>" + pushMerchant + "</appid><status>0</status><auth_code>code</auth_code>" + info
	for _, infoType := range []string{wechat.InfoFastRegister, wechat.InfoFastRegisterBeta, wechat.InfoFastVerifyBeta} {
		f(infoType, inXML(infoType, fast), wechat.Push{InfoType: infoType, AuthorizerAppID: pushMerchant, Code: secret.New("code")})
		f(infoType+" with two statuses", inXML(infoType, fast+"<status>1</status>"),
			wechat.Push{InfoType: infoType, AuthorizerAppID: pushMerchant, Code: secret.New("code")})
		f(infoType+" refused", inXML(infoType, "<status>89251</status><auth_code>code</auth_code>"+info), wechat.Push{InfoType: infoType, Status: 89251})
	}
	list := strings.Repeat("<list><appid>"+pushMerchant+"</appid><status>1</status><AppId>x</AppId></list>", 500)
	f("unknown, with a list", inXML("order_path_audit_result_notify", list), wechat.Push{InfoType: "order_path_audit_result_notify"})
	f("a declaration before it", `<?xml version="1.0" encoding="utf-8"?>`+"\n"+inXML("notify_new", "<a><b/></a>"), wechat.Push{InfoType: "notify_new"})
	f("JSON", `{"AppId":"`+pushComponent+`","CreateTime":1700000000,"InfoType":"notify_apply_icpfiling_result","authorizer_appid":"`+
		pushMerchant+`","beian_status":2,"appid":null,"list":[{"status":[1]}]}`, wechat.Push{InfoType: "notify_apply_icpfiling_result", AuthorizerAppID: pushMerchant})
	f("verify_appid", inXML("notify_icpfiling_verify_result", "<verify_appid>"+pushMerchant+"</verify_appid>"),
		wechat.Push{InfoType: "notify_icpfiling_verify_result", AuthorizerAppID: pushMerchant})
	f("the same account twice", inXML("notify_new", "<appid>"+pushMerchant+"</appid><authorizer_appid>"+pushMerchant+"</authorizer_appid>"),
		wechat.Push{InfoType: "notify_new", AuthorizerAppID: pushMerchant})
	f("two accounts", inXML("notify_new", "<appid>"+pushMerchant+"</appid><authorizer_appid>wx2</authorizer_appid>"), wechat.Push{InfoType: "notify_new"})
	f("no appid", inXML("notify_new", "<appid>a/b</appid>"), wechat.Push{InfoType: "notify_new"})
	f("JSON ticket", `{"AppId":"`+pushComponent+`","appid":"x","CreateTime":"1700000000","InfoType":"component_verify_ticket","ComponentVerifyTicket":"t"}`,
		wechat.Push{InfoType: wechat.InfoTicket, Ticket: secret.New("t")})
	f("a byte order mark", "\ufeff"+inXML("unauthorized", "<AuthorizerAppid>"+pushMerchant+"</AuthorizerAppid>"),
		wechat.Push{InfoType: wechat.InfoUnauthorized, AuthorizerAppID: pushMerchant})
	f("JSON with a byte order mark", "\ufeff"+`{"AppId":"`+pushComponent+`","CreateTime":1700000000,"InfoType":"notify_new"}`, wechat.Push{InfoType: "notify_new"})
}

// An element that an event of this type gives no meaning may be anything: WeChat
// adds events, and fields to events, without notice.
func TestParsePush_OtherElementsDecideNothing(t *testing.T) {
	f := func(name, plain, infoType string) {
		t.Helper()
		if p, err := wechat.ParsePush([]byte(plain)); err != nil || p.InfoType != infoType {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	odd := "<appid>a</appid><appid>b</appid><status><a/></status><auth_code>a<![CDATA[b]]></auth_code>"
	f("unknown", inXML("notify_new", odd+"<AuthorizerAppid>a</AuthorizerAppid><AuthorizerAppid>b</AuthorizerAppid>"), "notify_new")
	f("ticket", inXML("component_verify_ticket", odd+"<ComponentVerifyTicket>t</ComponentVerifyTicket>"), wechat.InfoTicket)
	f("unauthorized", inXML("unauthorized", odd+"<AuthorizerAppid>"+pushMerchant+"</AuthorizerAppid>"), wechat.InfoUnauthorized)
	f("JSON", `{"AppId":"`+pushComponent+`","CreateTime":1,"InfoType":"notify_new","appid":["a","b"],"appid":{},"status":true}`, "notify_new")
}

func TestParsePush_Refuses(t *testing.T) {
	const hidden = "s3cr3t"
	f := func(name, plain, want string) {
		t.Helper()
		p, err := wechat.ParsePush([]byte(plain))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want an error that says %q", name, err, want)
			return
		}
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: the error shows the content: %v", name, err)
		}
		if d := diffPush(p, wechat.Push{}); d != "" {
			t.Errorf("%s: a push beside the error: %s", name, d)
		}
	}
	ticket := "<ComponentVerifyTicket>" + hidden + "</ComponentVerifyTicket>"
	whole := inXML("component_verify_ticket", ticket)
	without := func(from, to string) string {
		i, j := strings.Index(whole, from), strings.Index(whole, to)
		return whole[:i] + whole[j+len(to):]
	}
	f("empty", "", "empty")
	f("no AppId", without("<AppId>", "</AppId>"), "element AppId is missing")
	f("no CreateTime", without("<CreateTime>", "</CreateTime>"), "element CreateTime is missing")
	f("no InfoType", without("<InfoType>", "</InfoType>"), "element InfoType is missing")
	f("no ticket", without("<Component", "Ticket></xml>")+"</xml>", "element ComponentVerifyTicket is missing")
	f("all missing", "<xml/>", "element InfoType is missing")
	f("empty ticket", inXML("component_verify_ticket", "<ComponentVerifyTicket><![CDATA[]]></ComponentVerifyTicket>"), "element ComponentVerifyTicket is missing or empty")
	f("no merchant", inXML("unauthorized", "<authorizerappid>"+hidden+"</authorizerappid>"), "unauthorized: element AuthorizerAppid is missing")
	f("merchant with markup", inXML("authorized", "<AuthorizerAppid>"+hidden+"/../x</AuthorizerAppid>"), "element AuthorizerAppid is not a name")
	f("long appid", inXML("unauthorized", "<AuthorizerAppid>"+strings.Repeat("x", 129)+"</AuthorizerAppid>"), "element AuthorizerAppid is not a name")
	f("odd appid of a registration", inXML(wechat.InfoFastRegister, "<appid>"+hidden+" x</appid>"), "element appid is not a name")
	f("odd status", inXML(wechat.InfoFastRegister, "<status>"+hidden+"</status>"), "element status is not a number")
	f("odd type", inXML("a b "+hidden, ""), "element InfoType is not a name")
	f("odd time", strings.ReplaceAll(whole, "1700000000", hidden), "element CreateTime is not a time")
	f("time 0", strings.ReplaceAll(whole, "1700000000", "0"), "element CreateTime is not a time")
	f("time beyond years", strings.ReplaceAll(whole, "1700000000", "9999999999999"), "element CreateTime is not a time")
	f("two tickets", inXML("component_verify_ticket", ticket+ticket), "element ComponentVerifyTicket is given twice")
	f("two appids of a registration", inXML(wechat.InfoFastRegister, "<appid>a</appid><appid>b</appid>"), "element appid is given twice")
	f("two codes", inXML("authorized", "<AuthorizerAppid>a</AuthorizerAppid><AuthorizationCode>a</AuthorizationCode><AuthorizationCode>b</AuthorizationCode>"),
		"element AuthorizationCode is given twice")
	f("two codes of a registration", inXML(wechat.InfoFastRegister, "<auth_code>a</auth_code><auth_code>b</auth_code>"), "element auth_code is given twice")
	f("two merchants", inXML("unauthorized", "<AuthorizerAppid>a</AuthorizerAppid><AuthorizerAppid>b</AuthorizerAppid>"), "element AuthorizerAppid is given twice")
	f("two AppIds", inXML("component_verify_ticket", ticket+"<AppId>"+hidden+"</AppId>"), "element AppId is given twice")
	f("comment in the ticket", inXML("component_verify_ticket", "<ComponentVerifyTicket>s3<!-- -->cr3t</ComponentVerifyTicket>"), "comment")
	f("two sections", inXML("component_verify_ticket", "<ComponentVerifyTicket><![CDATA[s3]]><![CDATA[cr3t]]></ComponentVerifyTicket>"), "element ComponentVerifyTicket is in pieces")
	f("element in the ticket", inXML("component_verify_ticket", "<ComponentVerifyTicket><a/>s3cr3t</ComponentVerifyTicket>"), "element ComponentVerifyTicket has elements in it")
	f("document type", "<!DOCTYPE xml>"+whole, "document type")
	f("entity", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`+inXML("component_verify_ticket", "<ComponentVerifyTicket>&e;</ComponentVerifyTicket>"), "document type")
	f("undeclared entity", inXML("component_verify_ticket", "<ComponentVerifyTicket>s3cr3t&e;</ComponentVerifyTicket>"), "not well-formed XML")
	f("instruction", "<xml><?php "+hidden+"?></xml>", "processing instruction")
	f("other root", "<html/>", "the root is not one xml element")
	f("two roots", whole+"<xml/>", "the root is not one xml element")
	f("text outside", whole+hidden, "text outside the root")
	f("cut off", whole[:len(whole)-8], "not well-formed XML")
	f("depth", inXML("x", strings.Repeat("<a>", 20)+strings.Repeat("</a>", 20)), "too deep")
	f("elements", inXML("x", strings.Repeat("<a/>", 20_000)), "too much markup")
	f("attributes", inXML("x", "<a"+strings.Repeat(` b=""`, 20_000)+"/>"), "too much markup")
	f("size", inXML("x", strings.Repeat(" ", 1<<20)), "longer than")
	f("NUL", inXML("x", "\x00"), "control characters")
	f("not UTF-8", inXML("x", "\xff"), "not UTF-8")
	f("byte order mark behind it", whole+"\ufeff", "text outside the root")
	f("other encoding", `<?xml version="1.0" encoding="GBK"?>`+whole, "not well-formed XML")

	head := `{"AppId":"` + pushComponent + `","CreateTime":1700000000,"InfoType":"component_verify_ticket"`
	f("JSON: no ticket", head+`}`, "element ComponentVerifyTicket is missing")
	f("JSON: other case", head+`,"componentverifyticket":"`+hidden+`"}`, "element ComponentVerifyTicket is missing")
	f("JSON: object", head+`,"ComponentVerifyTicket":{"a":"`+hidden+`"}}`, "element ComponentVerifyTicket is neither text nor number")
	f("JSON: bool", head+`,"ComponentVerifyTicket":true}`, "element ComponentVerifyTicket is neither text nor number")
	f("JSON: twice", head+`,"AppId":"`+hidden+`"}`, "element AppId is given twice")
	f("JSON: NUL", head+`,"ComponentVerifyTicket":"s3cr3t\u0000"}`, "element ComponentVerifyTicket has control characters")
	f("JSON: cut off", head, "not well-formed JSON")
	f("JSON: more", head+`}{}`, "more than one JSON value")
	f("JSON: depth", head+`,"a":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`}`, "too deep")
	f("JSON: length", head+`,"a":[`+strings.Repeat("1,", 40_000)+`1]}`, "too much JSON")
}

func TestParsePush_ID(t *testing.T) {
	parse := func(plain string) string {
		t.Helper()
		p, err := wechat.ParsePush([]byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return p.ID
	}
	a, b := inXML("x", "<a>1</a>"), inXML("x", "<a>2</a>")
	if first, again := parse(a), parse(a); first != again {
		t.Error("the same push has two IDs")
	}
	if parse(a) == parse(b) {
		t.Error("two pushes have one ID")
	}
}

func FuzzParsePush(f *testing.F) {
	f.Add([]byte(inXML("component_verify_ticket", "<ComponentVerifyTicket>t</ComponentVerifyTicket>")))
	f.Add([]byte(inXML("authorized", "<AuthorizerAppid>wx1</AuthorizerAppid>")))
	f.Add([]byte(`{"AppId":"wx1","CreateTime":1700000000,"InfoType":"x","appid":"y"}`))
	f.Add([]byte("<!DOCTYPE xml><xml/>"))
	f.Fuzz(func(t *testing.T, plain []byte) {
		p, err := wechat.ParsePush(plain)
		if err != nil {
			if d := diffPush(p, wechat.Push{}); d != "" {
				t.Fatalf("a push beside an error: %s", d)
			}
			return
		}
		if p.ID == "" || p.Component == "" || p.InfoType == "" || p.CreateTime.IsZero() {
			t.Fatalf("incomplete: %+v", p)
		}
		if p.InfoType != strings.ToLower(p.InfoType) || strings.Contains(p.AuthorizerAppID, "/") {
			t.Fatalf("unchecked names: %+v", p)
		}
	})
}
