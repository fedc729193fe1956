package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// object is one JSON object of an answer: its members by their exact names. Only what
// is asked for is looked at: a member of an odd type counts as missing, and the others
// are of no concern. The zero value has no members.
type object struct {
	members map[string]json.RawMessage
	// twice has the names that occur with different values; they are no members, as
	// nobody can know which of them counts.
	twice map[string]bool
}

// Readable reports whether answer is JSON to its end, read as leniently as [Client] reads
// WeChat's answers: behind a byte order mark, and with raw control characters and wrong
// escapes in its texts. It keeps no part of answer.
func Readable(answer []byte) bool { return json.Valid(repair(answer)) }

func readAnswer(answer []byte) (object, error) { return readObject(repair(answer)) }

// readObject splits a JSON object into its members.
func readObject(b []byte) (object, error) {
	o := object{members: map[string]json.RawMessage{}, twice: map[string]bool{}}
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return object{}, errors.New("it is not a JSON object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return object{}, errors.New("the JSON is broken")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return object{}, errors.New("the JSON is broken or cut off")
		}
		o.add(name.(string), value)
	}
	if _, err := dec.Token(); err != nil {
		return object{}, errors.New("the JSON is cut off")
	}
	if dec.More() {
		return object{}, errors.New("there is more after the JSON object")
	}
	return o, nil
}

func (o object) add(name string, value json.RawMessage) {
	before, doubled := o.members[name]
	if o.twice[name] || doubled && !bytes.Equal(before, value) {
		o.twice[name] = true
		delete(o.members, name)
		return
	}
	o.members[name] = value
}

// has reports whether a member says anything: null and the empty text do not.
func (o object) has(name string) bool {
	switch string(o.members[name]) {
	case "", "null", `""`:
		return o.twice[name]
	default:
		return true
	}
}

// text returns a member that is a string, and "" for any other.
func (o object) text(name string) string {
	var s string
	if json.Unmarshal(o.members[name], &s) != nil {
		return ""
	}
	return s
}

// number returns a member that is a number or a string that holds one, without its
// fraction. ok is false for any other, and for what no int64 holds.
func (o object) number(name string) (n int64, ok bool) {
	text := string(o.members[name])
	if strings.HasPrefix(text, `"`) {
		text = strings.TrimSpace(o.text(name))
	}
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false // also what only Go takes for a number: 0x1p3, Inf, 7_200
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(x) >= math.MaxInt64 {
		return 0, false
	}
	return int64(x), true
}

// inner returns a member that is an object; any other has no members.
func (o object) inner(name string) object {
	inner, _ := readObject(o.members[name])
	return inner
}

// items returns the elements of a member that is an array; an element that is no object
// has no members. ok is false for a member of another type.
func (o object) items(name string) (items []object, ok bool) {
	var raw []json.RawMessage
	if json.Unmarshal(o.members[name], &raw) != nil || raw == nil {
		return nil, false
	}
	for _, r := range raw {
		item, _ := readObject(r)
		items = append(items, item)
	}
	return items, true
}
