package proxy

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// maskDepth is how deep an answer about authorizers may be nested; WeChat's are not
// half of it.
const maskDepth = 16

// mask takes the tokens out of an answer about authorizers, wherever they stand in
// it: the broker learns the refresh tokens, and the app gets placeholders, and
// handles for access tokens. All other bytes stay as they are, also where they are no
// JSON: control characters and wrong escapes in texts that merchants chose.
func (s *Server) mask(r *request, component string, answer []byte) ([]byte, *fault) {
	at := bytes.IndexAny(answer, "{[")
	if at < 0 || !wechat.Readable(answer) {
		if bytes.Contains(answer, []byte("refresh_token")) || bytes.Contains(answer, []byte("authorizer_access_token")) {
			return nil, answerUnreadable()
		}
		return answer, nil // a page of somebody's between us and WeChat, say
	}
	e := editor{b: answer}
	all := gjson.ParseBytes(answer[at:])
	all.Index += at
	s.maskIn(&e, r, component, all, maskDepth)
	if e.lost {
		return nil, internalFault("WeChat's answer is nested too deep, or a token in it is not where it should be")
	}
	return e.apply(), nil
}

// answerUnreadable is the fault of an answer whose tokens cannot be taken out.
func answerUnreadable() *fault {
	return &fault{
		status: fasthttp.StatusBadGateway, code: "answer_unreadable",
		message: "WeChat's answer names tokens and is no JSON that can be read to its end, so they cannot be taken out of it",
	}
}

// maskIn masks what an object or an array holds. A token belongs to the authorizer
// that is named beside it.
func (s *Server) maskIn(e *editor, r *request, component string, in gjson.Result, depth int) {
	if depth == 0 {
		e.lost = true
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
		case name == "authorizer_access_token" && !s.expose:
			handle := placeholder
			if appid != "" {
				handle = s.keys.make(broker.KindAuthorizer, appid, r.caller)
			}
			e.replace(value, handle)
		case value.IsObject() || value.IsArray():
			s.maskIn(e, r, component, value, depth-1)
		}
		return true
	})
}

// textOf returns a string's text, and "" for what is none or holds what JSON does not
// allow: gjson would give the part before it.
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
	// lost says that a value could not be found where it should stand.
	lost bool
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
		e.lost = true
		return
	}
	e.edits = append(e.edits, edit{at, len(value.Raw), text})
}

func (e *editor) apply() []byte {
	slices.SortFunc(e.edits, func(a, b edit) int { return a.at - b.at })
	out, from := make([]byte, 0, len(e.b)+64), 0
	for _, one := range e.edits {
		out = appendJSONText(append(out, e.b[from:one.at]...), one.text)
		from = one.at + one.n
	}
	return append(out, e.b[from:]...)
}
