package proxy

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// formBytes bounds a body that must be read whole.
const formBytes = 1 << 20

// readForm reads the whole body, of at most formBytes. limits.replay_body does not apply
// here, so that a small one stops no SDK. Any form may name a component.
func (s *Server) readForm(r *request) *fault {
	if f := s.bufferBody(r, formBytes); f != nil {
		return f
	}
	switch {
	case r.body.whole:
		r.body.join()
		return r.readComponent()
	case r.body.notBuffered == replayNoMemory:
		return noReplayMemory()
	default:
		return bodyTooLarge(formBytes)
	}
}

// readComponent reads the component that the body names, if it names one.
func (r *request) readComponent() *fault {
	r.bodyMayName = true
	if f := r.refuseBlank(paramComponentAppID); f != nil {
		return f
	}
	if r.countInBody(paramComponentAppID) > 1 {
		return badBody(paramComponentAppID + " is given twice")
	}
	if v := gjson.GetBytes(r.body.buffered, paramComponentAppID); v.Type == gjson.String {
		r.bodyComponent = v.Str
	} else if !gjson.ParseBytes(r.body.buffered).IsObject() {
		r.bodyComponent = queryValue(r.body.buffered, paramComponentAppID)
	}
	return nil
}

// field returns a value of the call's form: of the JSON body, of the query, or of a
// form-encoded body. It is empty if there is none, or null.
func (r *request) field(name string) string {
	if v := gjson.GetBytes(r.body.buffered, name); v.Type == gjson.String {
		return v.Str
	}
	if v := queryValue(r.query, name); v != "" {
		return v
	}
	return queryValue(r.body.buffered, name)
}

// appIDField returns the appid that the call's form has under name; empty if the form has
// no such name.
func (r *request) appIDField(name string) (string, *fault) {
	if f := r.refuseBlank(name); f != nil {
		return "", f
	}
	appid := r.field(name)
	if appid != "" {
		r.formAppID = appid
	}
	return appid, nil
}

// refuseBlank refuses a call whose form has name with a blank value: that comes from a
// variable that is not set, and does not ask for the default account.
func (r *request) refuseBlank(name string) *fault {
	if strings.TrimSpace(r.field(name)) == "" && r.hasField(name) {
		return blankValue("appid", name)
	}
	return nil
}

// hasField reports whether the call's form has a name, whatever its value.
func (r *request) hasField(name string) bool {
	if countParam(r.query, name) > 0 {
		return true
	}
	if form := gjson.ParseBytes(r.body.buffered); form.IsObject() {
		return form.Get(name).Exists()
	}
	return countParam(r.body.buffered, name) > 0
}

// refuseTwice refuses a call whose form has name more than once: WeChat could read
// another value than we do.
func (r *request) refuseTwice(name string) *fault {
	if countParam(r.query, name)+r.countInBody(name) > 1 {
		return badBody(name + " is given twice")
	}
	return nil
}

// countInBody returns how often the body of a form has a name.
func (r *request) countInBody(name string) int {
	form := gjson.ParseBytes(r.body.buffered)
	if !form.IsObject() {
		return countParam(r.body.buffered, name)
	}
	n := 0
	form.ForEach(func(key, _ gjson.Result) bool {
		if key.Str == name {
			n++
		}
		return true
	})
	return n
}

// countParam returns how often a raw query, or a form-encoded body, has a parameter.
func countParam(query []byte, name string) int {
	n := 0
	for piece := range bytes.SplitSeq(query, ampersand) {
		if key, _, _ := bytes.Cut(piece, equals); string(key) == name {
			n++
		}
	}
	return n
}

// queryValue returns the first value of a parameter, decoded.
func queryValue(query []byte, name string) string {
	value, _, ok := findParam(query, name)
	if !ok {
		return ""
	}
	text, err := url.QueryUnescape(string(value))
	if err != nil {
		return ""
	}
	return text
}

// setField replaces a value of the call's form, in the query and in the body. If the form
// does not have it, since some HTTP clients leave out null, setField adds it in the place
// and encoding of beside.
func (r *request) setField(name, value, beside string) {
	v, at, queried := findParam(r.query, name)
	if queried {
		r.query = splice(r.query, at, len(v), appendEscaped(nil, value))
	}
	body := r.body.buffered
	if v := gjson.GetBytes(body, name); v.Exists() && v.Index > 0 {
		r.setBody(splice(body, v.Index, len(v.Raw), appendJSONText(nil, value)))
	} else if v, at, ok := findParam(body, name); ok {
		r.setBody(splice(body, at, len(v), appendEscaped(nil, value)))
	} else if !queried {
		r.addField(name, value, beside)
	}
}

// addField adds a value to the call's form, where and as the form has beside.
func (r *request) addField(name, value, beside string) {
	body := r.body.buffered
	switch form := gjson.ParseBytes(body); {
	case form.IsObject():
		member := append(appendJSONText(nil, name), ':')
		member = appendJSONText(member, value)
		if len(form.Map()) > 0 {
			member = append(member, ',')
		}
		r.setBody(splice(body, bytes.IndexByte(body, '{')+1, 0, member))
	case countParam(body, beside) > 0:
		r.setBody(appendQuery(nil, body, 0, name, value))
	default:
		r.query = appendQuery(nil, r.query, 0, name, value)
	}
}

func (r *request) setBody(b []byte) { r.body.buffered, r.body.length = b, len(b) }

// splice returns b with the n bytes at at replaced. It does not change b.
func splice(b []byte, at, n int, with []byte) []byte {
	return slices.Concat(b[:at], with, b[at+n:])
}

// withoutParam returns query without a parameter. It removes one ampersand with each, and
// does not change query itself.
func withoutParam(query []byte, name string) []byte {
	var kept [][]byte
	for piece := range bytes.SplitSeq(query, ampersand) {
		if key, _, _ := bytes.Cut(piece, equals); string(key) != name {
			kept = append(kept, piece)
		}
	}
	return bytes.Join(kept, ampersand)
}

// findParam returns the first raw value of a parameter and where it begins.
func findParam(query []byte, name string) (value []byte, at int, ok bool) {
	for at = 0; at <= len(query); {
		piece, _, _ := bytes.Cut(query[at:], ampersand)
		key, value, found := bytes.Cut(piece, equals)
		if found && string(key) == name {
			return value, at + len(key) + 1, true
		}
		at += len(piece) + 1
	}
	return nil, 0, false
}

// dropParam removes a parameter from the call's query and form-encoded body.
func (r *request) dropParam(name string) {
	if countParam(r.query, name) > 0 {
		r.query = withoutParam(r.query, name)
	}
	if countParam(r.body.buffered, name) > 0 {
		r.setBody(withoutParam(r.body.buffered, name))
	}
}
