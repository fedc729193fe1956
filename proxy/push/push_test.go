package push_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func TestPush_TicketAccepted(t *testing.T) {
	r := newRig(t)
	r.wantSuccess(ticketPush(t))
	got := r.handler.got()
	if len(got) != 1 || got[0].Ticket.Reveal() != ticket || got[0].Component != component || got[0].InfoType != wechat.InfoTicket {
		t.Fatalf("the handler got %+v", got)
	}
	r.wantCounted("component_verify_ticket", "accepted", 1)
	r.wantLogged("level=INFO", "push accepted", component, "component_verify_ticket")
}

// The whole way with a push of an implementation that is not ours. It fails,
// rather than skip, without the openssl command.
func TestPush_OpenSSLAccepted(t *testing.T) {
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl %s: %v (the tests need the openssl command: apt-get install openssl)", args[0], err)
		}
		return string(out)
	}
	plain := ticketXML(component)
	framed := "0123456789abcdef" + string([]byte{0, 0, byte(len(plain) >> 8), byte(len(plain))}) + plain + component
	n := 32 - len(framed)%32
	framed += strings.Repeat(string(rune(n)), n)
	key := hex.EncodeToString([]byte(run(aesKey+"=\n", "base64", "-d")))
	encrypt := base64.StdEncoding.EncodeToString([]byte(run(framed, "enc", "-aes-256-cbc", "-nopad", "-K", key, "-iv", key[:32])))
	e := msgcrypt.Envelope{Encrypt: encrypt, TimeStamp: strconv.FormatInt(start.Unix(), 10), Nonce: "31415"}
	parts := []string{token, e.TimeStamp, e.Nonce, encrypt}
	slices.Sort(parts)
	e.MsgSignature = strings.Fields(run(strings.Join(parts, ""), "dgst", "-sha1", "-r"))[0]

	r := newRig(t)
	r.wantSuccess(call{query: signedQuery(token, e), body: string(e.PushXML(component))})
	if got := r.handler.got(); len(got) != 1 || got[0].Ticket.Reveal() != ticket {
		t.Errorf("the handler got %+v", got)
	}
}

func TestPush_OtherInfoTypes(t *testing.T) {
	r := newRig(t)
	head := "<xml><AppId>" + component + "</AppId><CreateTime>1800000000</CreateTime><InfoType>"
	for _, plain := range []string{
		head + "authorized</InfoType><AuthorizerAppid>" + merchant + "</AuthorizerAppid><AuthorizationCode>" + authCode + "</AuthorizationCode></xml>",
		head + "unauthorized</InfoType><AuthorizerAppid>" + merchant + "</AuthorizerAppid></xml>",
		head + "notify_of_2031</InfoType></xml>",
	} {
		r.wantSuccess(sealed(t, token, aesKey, component, plain, start))
	}
	r.wantCounted("authorized", "accepted", 1)
	r.wantCounted("unauthorized", "accepted", 1)
	r.wantCounted("other", "accepted", 1)
	if got := r.handler.got(); len(got) != 3 || got[0].Code.Reveal() != authCode || got[2].InfoType != "notify_of_2031" {
		t.Errorf("the handler got %+v", got)
	}
}

// signedBody is a push whose Encrypt is given, signed by who has the token.
func signedBody(encrypt string) call {
	e := msgcrypt.Envelope{Encrypt: encrypt, TimeStamp: strconv.FormatInt(start.Unix(), 10), Nonce: "1"}
	e.MsgSignature = msgcrypt.Signature(token, e.TimeStamp, e.Nonce, encrypt)
	return call{query: signedQuery(token, e), body: string(e.PushXML(component))}
}

func changed(c call, name, value string) call {
	q := map[string][]string{}
	for k, v := range c.query {
		q[k] = v
	}
	q[name] = []string{value}
	c.query = q
	return c
}

func twice(c call, name string) call {
	c = changed(c, name, c.query.Get(name))
	c.query[name] = append(c.query[name], c.query.Get(name))
	return c
}

func emptied(c call) call {
	c.body = ""
	return c
}

func TestPush_Refused(t *testing.T) {
	good := ticketPush(t)
	encrypt, err := msgcrypt.ParseEnvelope([]byte(good.body))
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) call {
		return sealed(t, token, aesKey, component, ticketXML(component), start.Add(d))
	}
	without := func(c call, name string) call { return changed(c, name, "") }
	unknown := good
	unknown.path = "/wechat/wx7f00c0de00000009/event"
	longer := good
	longer.body = good.body + strings.Repeat(" ", msgcrypt.MaxEnvelope+1-len(good.body))
	muchLonger := good
	muchLonger.body = strings.Repeat("x", 3*msgcrypt.MaxEnvelope)
	empty := good
	empty.body = ""
	entity := good
	entity.body = `<!DOCTYPE x [<!ENTITY e "x">]>` + good.body
	plain := without(good, "encrypt_type")
	plain.body = ticketXML(component)
	otherAppID := "wx7f00c0de00000002"
	tests := []struct {
		name, cause string
		call        call
		logged      []string
	}{
		{"forged", "forged", changed(good, "msg_signature", strings.Repeat("0", 40)), []string{"push_token"}},
		{"only signature", "forged", changed(good, "msg_signature", good.query.Get("signature")), nil},
		{"no msg_signature", "parameters", without(good, "msg_signature"), []string{"passes the query on"}},
		{"no timestamp", "parameters", without(good, "timestamp"), nil},
		{"no nonce", "parameters", without(good, "nonce"), nil},
		{"two msg_signatures", "parameters", twice(good, "msg_signature"), nil},
		{"two signatures", "parameters", twice(good, "signature"), nil},
		{"two timestamps", "parameters", twice(good, "timestamp"), nil},
		{"two nonces", "parameters", twice(good, "nonce"), nil},
		{"other timestamp", "forged", changed(good, "timestamp", strconv.FormatInt(start.Unix()+1, 10)), nil},
		{"other nonce", "forged", changed(good, "nonce", "2"), nil},
		{"other token", "forged", sealed(t, "other-token", aesKey, component, ticketXML(component), start), nil},
		{"empty without signature", "parameters", changed(without(empty, "signature"), "msg_signature", ""), nil},
		{"empty and signed long ago", "outside_window", emptied(at(-10*time.Minute - time.Second)), []string{"clock"}},
		{"not encrypted", "envelope", plain, nil},
		{"too old, by nobody", "outside_window", changed(at(-11*time.Minute), "signature", "x"), []string{"not from WeChat"}},
		{"cut off in a block", "truncated", signedBody(encrypt[:len(encrypt)-4]), nil},
		{"cut off behind a block", "padding", signedBody(cutBlock(t, encrypt)), []string{"encoding_aes_key"}},
		{"other key", "padding", otherKey(t), []string{"encoding_aes_key"}},
		{"for another component", "foreign_appid", sealed(t, token, aesKey, otherAppID, ticketXML(component), start), nil},
		{"of another component", "foreign_appid", sealed(t, token, aesKey, component, ticketXML(otherAppID), start), []string{otherAppID}},
		{"too old", "outside_window", at(-10*time.Minute - time.Second), []string{"clock", "signed_at=2027-01-15T07:49:59.000Z", "now=2027-01-15T08:00:00.000Z"}},
		{"too new", "outside_window", at(10*time.Minute + time.Second), []string{"clock", "signed_at=2027-01-15T08:10:01.000Z"}},
		{"timestamp that is no number", "outside_window", oddTimestamp(t), []string{"not a number"}},
		{"no ticket in it", "unreadable", sealed(t, token, aesKey, component, strings.ReplaceAll(ticketXML(component), ticket, ""), start), []string{"ComponentVerifyTicket"}},
		{"a message", "unreadable", sealed(t, token, aesKey, component, textXML(1), start), []string{"/wechat/<component appid>/message/$APPID$"}},
		{"not XML in it", "unreadable", sealed(t, token, aesKey, component, ticket, start), nil},
		{"entity", "envelope", entity, nil},
		{"too large", "too_large", longer, []string{"1 MiB"}},
		{"much too large", "too_large", muchLonger, nil},
		{"unknown component", "unknown_component", unknown, []string{"wx7f00c0de00000009"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.wantStatus(tt.call, http.StatusForbidden)
			r.wantCounted("none", tt.cause, 1)
			if told := r.handler.refused; len(told) != 1 || !strings.HasSuffix(told[0], " "+tt.cause) {
				t.Errorf("the handler was told %q", told)
			}
			r.wantLogged(append([]string{"level=WARN", "push refused", "cause=" + tt.cause, "remote=127.0.0.1:", "component="}, tt.logged...)...)
			if got := r.handler.got(); len(got) != 0 {
				t.Errorf("the handler got %+v", got)
			}
			r.wantSuccess(good) // nothing of a refused push is remembered
		})
	}
}

// A repeated element is no message's, so its hint must not send anybody to the message URL.
func TestServer_EventWithTwoTickets(t *testing.T) {
	r := newRig(t)
	element := "<ComponentVerifyTicket>" + ticket + "</ComponentVerifyTicket></xml>"
	r.wantStatus(sealed(t, token, aesKey, component, strings.Replace(ticketXML(component), "</xml>", element, 1), start), http.StatusForbidden)
	r.wantLogged("cause=unreadable", "element ComponentVerifyTicket is given twice")
	if strings.Contains(r.log.String(), "hint=") {
		t.Errorf("the hint is another mistake's: %s", r.log.String())
	}
}

func oddTimestamp(t *testing.T) call {
	t.Helper()
	codec, err := msgcrypt.New(token, aesKey, component)
	if err != nil {
		t.Fatal(err)
	}
	e, err := codec.Seal([]byte(ticketXML(component)), "now", "1")
	if err != nil {
		t.Fatal(err)
	}
	return call{query: signedQuery(token, e), body: string(e.PushXML(component))}
}

// otherKey is a push under another key. The padding that this gives is right once in
// 256 times, and another cause is then named; not in this one.
func otherKey(t *testing.T) call {
	t.Helper()
	codec, err := msgcrypt.New(token, aesKey, component)
	if err != nil {
		t.Fatal(err)
	}
	for {
		c := sealed(t, token, previousKey, component, ticketXML(component), start)
		encrypt, err := msgcrypt.ParseEnvelope([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		q := c.query
		if _, err = codec.Open(q.Get("msg_signature"), q.Get("timestamp"), q.Get("nonce"), encrypt); errors.Is(err, msgcrypt.ErrPadding) {
			return c
		}
	}
}

func cutBlock(t *testing.T, encrypt string) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(encrypt)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(data[:len(data)-32])
}

// encrypt_type is not signed, and who adds a byte order mark changes nothing that is.
func TestPush_WhatIsNotSignedDecidesNothing(t *testing.T) {
	r := newRig(t)
	n := 0
	f := func(change func(call) call) {
		t.Helper()
		n++
		r.wantSuccess(change(sealed(t, token, aesKey, component, ticketXML(component)+strings.Repeat(" ", n), start)))
		r.wantCounted("component_verify_ticket", "accepted", n)
	}
	f(func(c call) call { c.query.Del("encrypt_type"); return c })
	for _, text := range []string{"", "AES", "raw"} {
		f(func(c call) call { return changed(c, "encrypt_type", text) })
	}
	f(func(c call) call { return twice(c, "encrypt_type") })
	f(func(c call) call { c.query.Del("signature"); return c })
	f(func(c call) call { c.body = "\ufeff" + c.body; return c })
	f(func(c call) call { c.path = "/wechat/" + component + "/event"; c.query.Set("openid", "x"); return c })
	r.wantSuccess(sealed(t, token, aesKey, component, "\ufeff"+ticketXML(component), start))
	r.wantSuccess(sealed(t, token, aesKey, component, "<xml><AppId>"+component+"</AppId><CreateTime>1800000000</CreateTime>"+
		"<InfoType>notify_of_2031</InfoType><appid>a</appid><appid>b</appid></xml>", start))
}

func TestPush_EdgeOfWindow(t *testing.T) {
	r := newRig(t, func(o *push.Options) { o.Window = time.Minute })
	for _, d := range []time.Duration{-time.Minute, time.Minute} {
		r.wantSuccess(sealed(t, token, aesKey, component, ticketXML(component), start.Add(d)))
	}
	for _, d := range []time.Duration{-61 * time.Second, 61 * time.Second} {
		r.wantStatus(sealed(t, token, aesKey, component, ticketXML(component), start.Add(d)), http.StatusForbidden)
	}
}

func TestPush_EmptyBodyOfWeChat(t *testing.T) {
	r := newRig(t)
	c := ticketPush(t)
	c.body = ""
	r.wantSuccess(c)
	c.query = changed(c, "signature", "").query
	r.wantStatus(c, http.StatusForbidden)
	r.wantCounted("none", "forged", 0)
	r.wantCounted("none", "empty", 1)
	r.wantLogged("level=WARN", "push without a body", component)
	if got := r.handler.got(); len(got) != 0 {
		t.Errorf("the handler got %+v", got)
	}
}

func TestPush_OtherPathsAndMethods(t *testing.T) {
	r := newRig(t)
	good := ticketPush(t)
	paths := []string{
		"/", "/wechat", "/wechat/" + component, "/wechat/" + component + "/event/", "/wechat//event",
		"/wechat/" + component + "/other", "//wechat/" + component + "/event", "/wechat/x/../" + component + "/event", "/wechat/" + component + "%2fevent",
	}
	for _, path := range paths {
		c := good
		c.path = path
		r.wantStatus(c, http.StatusForbidden)
	}
	r.wantCounted("none", "unknown_path", len(paths))
	r.wantLogged("level=WARN", "cause=unknown_path", "remote=127.0.0.1:", "path=/wechat/"+component+"/other", "/wechat/<component appid>/event")
	if told := r.handler.refused; len(told) != len(paths) || told[0] != " unknown_path" || told[5] != component+" unknown_path" {
		t.Errorf("the handler was told %q", told)
	}
	r.wantStatus(call{path: "/"}, http.StatusForbidden) // nobody's push
	r.wantCounted("none", "unknown_path", len(paths))
	r.wantCounted("none", "not_a_push", 1)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead, http.MethodDelete} {
		c := good
		c.method = method
		r.wantStatus(c, http.StatusForbidden)
	}
	r.wantSuccess(good)
}

func TestPush_RepeatIsNotHandledAgain(t *testing.T) {
	r := newRig(t)
	c := ticketPush(t)
	for range 3 {
		r.wantSuccess(c)
	}
	// WeChat sends the same text again under a new signature.
	r.wantSuccess(sealed(t, token, aesKey, component, ticketXML(component), start.Add(5*time.Second)))
	if got := r.handler.got(); len(got) != 1 {
		t.Errorf("the handler got %d pushes; want 1", len(got))
	}
	r.wantCounted("component_verify_ticket", "accepted", 1)
	r.wantCounted("component_verify_ticket", "repeated", 3)

	r.handler.set(func() { r.handler.now = start.Add(11 * time.Minute) })
	r.wantStatus(c, http.StatusForbidden)
	r.wantCounted("none", "outside_window", 1)
}

func TestPush_CopiesTogetherAreHandledOnce(t *testing.T) {
	r := newRig(t)
	c := ticketPush(t)
	var copies sync.WaitGroup
	for range 20 {
		copies.Go(func() { r.wantSuccess(c) })
	}
	copies.Wait()
	if got := r.handler.got(); len(got) != 1 {
		t.Errorf("the handler got %d pushes; want 1", len(got))
	}
}

func TestPush_FailureIsTriedAfresh(t *testing.T) {
	r := newRig(t)
	r.handler.handle = func(context.Context, wechat.Push) error { return errors.New("the store is away") }
	c := ticketPush(t)
	r.wantStatus(c, http.StatusInternalServerError)
	r.wantCounted("component_verify_ticket", "failed", 1)
	r.wantLogged("level=ERROR", "the store is away", component, "component_verify_ticket")
	r.handler.set(func() { r.handler.handle = nil })
	r.wantSuccess(c)
	r.wantSuccess(c)
	if got := r.handler.got(); len(got) != 2 {
		t.Errorf("the handler got %d pushes; want 2", len(got))
	}
	r.wantCounted("component_verify_ticket", "accepted", 1)
	r.wantCounted("component_verify_ticket", "repeated", 1)
}

func TestPush_PanicIsOne500(t *testing.T) {
	r := newRig(t)
	r.handler.handle = func(_ context.Context, p wechat.Push) error { panic("at " + p.Ticket.Reveal()) }
	c := ticketPush(t)
	r.wantStatus(c, http.StatusInternalServerError)
	r.wantCounted("none", "panic", 1)
	r.wantLogged("level=ERROR", "panic", "type=string", "HandlePush")
	r.handler.set(func() { r.handler.handle = nil })
	r.wantSuccess(c)
}

func TestPush_HandlerHasADeadline(t *testing.T) {
	type name struct{}
	r := newRig(t, func(o *push.Options) { o.BaseContext = context.WithValue(context.Background(), name{}, "base") })
	r.handler.handle = func(ctx context.Context, _ wechat.Push) error {
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); !ok || left > 4*time.Second || ctx.Value(name{}) != "base" {
			return errors.New("no deadline within 4 s, or another parent")
		}
		return nil
	}
	r.wantSuccess(ticketPush(t))
}

func TestPush_BaseContextEnds(t *testing.T) {
	base, cancel := context.WithCancel(context.Background())
	r := newRig(t, func(o *push.Options) { o.BaseContext = base })
	r.handler.handle = func(ctx context.Context, _ wechat.Push) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	r.wantStatus(ticketPush(t), http.StatusInternalServerError)
}

func TestPush_PreviousKeys(t *testing.T) {
	keys := currentKeys()
	keys.Keys = append(keys.Keys, push.Key{Token: secret.New(previousToken), EncodingAESKey: secret.New(previousKey)})
	r := newRig(t, func(o *push.Options) { o.Components = []push.Component{keys} })
	r.wantSuccess(ticketPush(t))
	r.wantSuccess(sealed(t, previousToken, previousKey, component, ticketXML(component)+" ", start))
	// The token was changed last week, the key today, or the other way round.
	r.wantSuccess(sealed(t, token, previousKey, component, ticketXML(component)+"  ", start))
	r.wantSuccess(sealed(t, previousToken, aesKey, component, ticketXML(component)+"   ", start))
	r.wantStatus(sealed(t, previousToken, strings.Repeat("A", 43), component, ticketXML(component), start), http.StatusForbidden)
	r.wantCounted("none", "padding", 1)
	r.wantStatus(sealed(t, "other-token", previousKey, component, ticketXML(component), start), http.StatusForbidden)
	r.wantCounted("none", "forged", 1)
	if got := r.handler.got(); len(got) != 4 {
		t.Errorf("the handler got %d pushes; want 4", len(got))
	}
}

// One part alone may be given as previous.
func TestPush_PreviousPart(t *testing.T) {
	f := func(previous push.Key, token, key string) {
		t.Helper()
		keys := currentKeys()
		keys.Keys = append(keys.Keys, previous)
		r := newRig(t, func(o *push.Options) { o.Components = []push.Component{keys} })
		r.wantSuccess(sealed(t, token, key, component, ticketXML(component), start))
		r.wantStatus(sealed(t, previousToken, previousKey, component, ticketXML(component), start), http.StatusForbidden)
	}
	f(push.Key{Token: secret.New(previousToken)}, previousToken, aesKey)
	f(push.Key{EncodingAESKey: secret.New(previousKey)}, token, previousKey)
}
