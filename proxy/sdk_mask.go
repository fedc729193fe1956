package proxy

import (
	"bytes"
	"encoding/json"
	"sort"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// maskDepth is how deep an answer about authorizers may be nested. WeChat's are less than
// half as deep.
const maskDepth = 16

// maskTokens replaces the tokens in an answer about authorizers: refresh tokens by
// placeholders, access tokens by handles. The broker learns the refresh tokens. All other
// bytes stay as they are, including what is not valid JSON: control characters and wrong
// escapes in texts that merchants chose.
func (s *Server) maskTokens(r *request, component string, answer []byte) ([]byte, *fault) {
	at := bytes.IndexAny(answer, "{[")
	if at < 0 || !wechat.Readable(answer) {
		if bytes.Contains(answer, []byte("refresh_token")) || bytes.Contains(answer, []byte("authorizer_access_token")) {
			return nil, answerUnreadable()
		}
		return answer, nil // for example a page from a middlebox between us and WeChat
	}
	e := editor{b: answer}
	all := gjson.ParseBytes(answer[at:])
	all.Index += at
	s.maskTokensIn(&e, r, component, all, maskDepth)
	if e.misplaced {
		return nil, internalFault("WeChat's answer is nested too deep, or a token in it is not where it should be")
	}
	return e.apply(), nil
}

// answerUnreadable is the fault of an answer whose tokens cannot be masked.
func answerUnreadable() *fault {
	return &fault{
		status: fasthttp.StatusBadGateway, code: "answer_unreadable",
		message: "WeChat's answer names tokens and is no JSON that can be read to its end, so they cannot be taken out of it",
	}
}

// maskTokensIn masks the tokens in an object or an array. A token belongs to the
// authorizer that is named in the same object.
func (s *Server) maskTokensIn(e *editor, r *request, component string, in gjson.Result, depth int) {
	if depth == 0 {
		e.misplaced = true
		return
	}
	appid := textOf(in.Get("authorizer_appid"))
	in.ForEach(func(key, value gjson.Result) bool {
		switch name := textOf(key); {
		case name == "authorizer_refresh_token" || name == "refresh_token":
			if token := textOf(value); token != "" && appid != "" {
				s.exchange.Learn(component, appid, secret.New(token))
			}
			e.replace(value, placeholder)
		case name == "authorizer_access_token" && !s.exposeTokens:
			handle := placeholder
			if appid != "" {
				handle = s.keys.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: appid, Component: component}, r.caller)
			}
			e.replace(value, handle)
		case value.IsObject() || value.IsArray():
			s.maskTokensIn(e, r, component, value, depth-1)
		}
		return true
	})
}

// textOf returns the text of a JSON string. It returns "" for what is not a string, and for
// an invalid one, of which gjson would return the valid beginning.
func textOf(v gjson.Result) string {
	var text string
	if v.Type != gjson.String || json.Unmarshal([]byte(v.Raw), &text) != nil {
		return ""
	}
	return text
}

// editor replaces texts in JSON and leaves all other bytes as they are.
type editor struct {
	b     []byte
	edits []edit
	// misplaced says that a value was not found at its index.
	misplaced bool
}

// edit replaces n bytes by a JSON text.
type edit struct {
	at, n int
	text  string
}

// replace puts text in place of a value, whatever that is, unless it is empty or null.
func (e *editor) replace(value gjson.Result, text string) {
	if value.Type == gjson.Null || value.Raw == `""` {
		return
	}
	at, end := value.Index, value.Index+len(value.Raw)
	if at <= 0 || end > len(e.b) || string(e.b[at:end]) != value.Raw {
		e.misplaced = true
		return
	}
	e.edits = append(e.edits, edit{at, len(value.Raw), text})
}

func (e *editor) apply() []byte {
	sort.Slice(e.edits, func(i, j int) bool { return e.edits[i].at < e.edits[j].at })
	out, from := make([]byte, 0, len(e.b)+64), 0
	for _, one := range e.edits {
		out = appendJSONText(append(out, e.b[from:one.at]...), one.text)
		from = one.at + one.n
	}
	return append(out, e.b[from:]...)
}
