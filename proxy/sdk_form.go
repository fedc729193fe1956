package proxy

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// formBytes is how long a body may be that must be read whole.
const formBytes = 1 << 20

// readForm reads the whole body, which must be short. How much is kept to be sent
// again does not matter here, so that a small limits.replay_body stops no SDK. Any
// of these forms may name a component, so none may name it blank.
func (s *Server) readForm(r *request) *fault {
	if f := s.keepBody(r, formBytes); f != nil {
		return f
	}
	switch {
	case r.body.whole:
		r.body.join()
		return r.refuseBlank(paramComponentAppID)
	case r.body.notKept == replayNoMemory:
		return noReplayMemory()
	default:
		return bodyTooLarge(formBytes)
	}
}

// field returns a text of the call's form: of the JSON body, of the query, or of
// a form-encoded body; empty where there is none, or null.
func (r *request) field(name string) string {
	if v := gjson.GetBytes(r.body.kept, name); v.Type == gjson.String {
		return v.Str
	}
	if v := queryValue(r.query, name); v != "" {
		return v
	}
	return queryValue(r.body.kept, name)
}

// appIDField returns the appid that the call's form holds under name, and nothing
// where the form has no such name.
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

// refuseBlank refuses a call whose form has a name of an account without an appid: it
// is a variable that is not set, and no wish for the default account.
func (r *request) refuseBlank(name string) *fault {
	if strings.TrimSpace(r.field(name)) == "" && r.hasField(name) {
		return holdsNo("appid", name)
	}
	return nil
}

// hasField reports whether the call's form has a name, whatever its value.
func (r *request) hasField(name string) bool {
	if countParam(r.query, name) > 0 {
		return true
	}
	if form := gjson.ParseBytes(r.body.kept); form.IsObject() {
		return form.Get(name).Exists()
	}
	return countParam(r.body.kept, name) > 0
}

// refuseTwice refuses a call whose form holds a name more than once: WeChat could
// read another value than we do.
func (r *request) refuseTwice(name string) *fault {
	n := countParam(r.query, name)
	if v := gjson.ParseBytes(r.body.kept); v.IsObject() {
		v.ForEach(func(key, _ gjson.Result) bool {
			if key.Str == name {
				n++
			}
			return true
		})
	} else {
		n += countParam(r.body.kept, name)
	}
	if n > 1 {
		return badBody(name + " is given twice")
	}
	return nil
}

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

// setField replaces a value of the call's form where it stands. Where it stands
// nowhere, since some HTTP clients leave out what is null, it is added, in the way
// in which the form gives beside.
func (r *request) setField(name, value, beside string) {
	v, at, queried := findParam(r.query, name)
	if queried {
		r.query = splice(r.query, at, len(v), appendEscaped(nil, value))
	}
	body := r.body.kept
	if v := gjson.GetBytes(body, name); v.Exists() && v.Index > 0 {
		r.setBody(splice(body, v.Index, len(v.Raw), appendJSONText(nil, value)))
	} else if v, at, ok := findParam(body, name); ok {
		r.setBody(splice(body, at, len(v), appendEscaped(nil, value)))
	} else if !queried {
		r.addField(name, value, beside)
	}
}

func (r *request) addField(name, value, beside string) {
	body := r.body.kept
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

func (r *request) setBody(b []byte) { r.body.kept, r.body.length = b, len(b) }

// splice returns b with n bytes at at replaced; b itself stays.
func splice(b []byte, at, n int, with []byte) []byte {
	return slices.Concat(b[:at], with, b[at+n:])
}

// withoutParam returns query without a parameter, each taken out with one ampersand
// beside it. query itself stays.
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

// dropParam takes a parameter out of the call's form, with one ampersand beside it.
func (r *request) dropParam(name string) {
	if countParam(r.query, name) > 0 {
		r.query = withoutParam(r.query, name)
	}
	if countParam(r.body.kept, name) > 0 {
		r.setBody(withoutParam(r.body.kept, name))
	}
}
