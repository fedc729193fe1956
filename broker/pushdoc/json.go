package pushdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readJSON walks the tokens, since Unmarshal takes the last of two equal keys, and
// takes appid for AppId.
func readJSON(doc []byte, base walk) (Fields, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	w := jsonWalk{walk: base}
	for range base.limits.JSONTokens {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && w.ended:
			return w.fields, nil
		case err != nil:
			return nil, errors.New("not well-formed JSON")
		}
		if err := w.step(token); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too much JSON")
}

// jsonWalk collects the wanted members of the outermost object.
type jsonWalk struct {
	walk
	ended   bool
	isValue bool   // the next token of the outermost object is a value
	element string // and it is that of this wanted element, or empty
}

func (w *jsonWalk) step(token json.Token) error {
	if w.ended {
		return errors.New("more than one JSON value")
	}
	delim, isDelim := token.(json.Delim)
	switch {
	case isDelim:
		return w.delim(delim)
	case w.depth > 1:
		return nil
	case w.isValue:
		return w.value(token)
	}
	w.isValue = true
	if name, _ := token.(string); w.wanted[name] {
		w.element = name
	}
	return nil
}

func (w *jsonWalk) delim(d json.Delim) error {
	if d == '}' || d == ']' {
		w.depth--
		w.ended = w.depth == 0
		w.isValue = false
		return nil
	}
	if w.element != "" {
		return w.wrongType(w.element)
	}
	return w.enter()
}

func (w *jsonWalk) value(token json.Token) error {
	element := w.element
	w.isValue, w.element = false, ""
	if element == "" {
		return nil
	}
	switch v := token.(type) {
	case string:
		if strings.ContainsFunc(v, isControl) {
			return fmt.Errorf("element %s has control characters in it", element)
		}
		return w.set(element, strings.TrimSpace(v))
	case json.Number:
		if w.limits.TextOnly {
			return w.wrongType(element)
		}
		return w.set(element, v.String())
	case nil:
		if w.limits.TextOnly {
			return w.wrongType(element)
		}
		return w.set(element, "")
	default:
		return w.wrongType(element)
	}
}

func (w *jsonWalk) wrongType(element string) error {
	if w.limits.TextOnly {
		return fmt.Errorf("element %s is not text", element)
	}
	return fmt.Errorf("element %s is neither text nor number", element)
}
