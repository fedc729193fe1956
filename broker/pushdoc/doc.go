// Package pushdoc reads the documents that WeChat's pushes are made of: XML, as
// third-party platforms get it, or JSON. What two parsers could read differently
// is refused: documents that are not UTF-8, document types, comments, an element
// given twice or in pieces. Depth and size are bounded before a decoder runs, as
// encoding/xml knows no bounds of its own.
//
// Errors name what is wrong and in which element, and show nothing of the content.
//
// The package makes no API promise outside this module.
package pushdoc

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits bound what a document may make us do. All must be set.
type Limits struct {
	// Bytes is the most that a document may be long.
	Bytes int
	// Markup is how many < and how many = an XML document may hold: the decoder
	// reads all attributes of an element before it returns the first.
	Markup int
	// Depth is how deep elements, objects and arrays may lie in each other.
	Depth int
	// JSONTokens bounds the work on a JSON document.
	JSONTokens int
	// TextOnly is for documents that nobody has authenticated: no entities in XML,
	// and only strings as values in JSON.
	TextOnly bool
}

// Fields are the texts of the elements that were asked for, without the white
// space around them. An element that is not there has no entry.
type Fields map[string]string

// byteOrderMark may begin a text in UTF-8. It says nothing.
const byteOrderMark = "\ufeff"

// Read returns the texts of the wanted elements, which lie right below the root.
// Their names are compared byte for byte: AppId and appid are two. Other elements
// are passed over. One byte order mark at the beginning is allowed. Read keeps nothing of doc, and is safe for concurrent use.
func Read(doc []byte, wanted map[string]bool, l Limits) (Fields, error) {
	if err := check(doc, l); err != nil {
		return nil, err
	}
	doc = trim(doc)
	if len(doc) == 0 {
		return nil, errors.New("it is empty")
	}
	base := walk{fields: Fields{}, wanted: wanted, limits: l}
	if IsJSON(doc) {
		return readJSON(doc, base)
	}
	return readXML(doc, base)
}

// IsJSON reports whether a document is JSON rather than XML, by its first character.
func IsJSON(doc []byte) bool { return bytes.HasPrefix(trim(doc), []byte("{")) }

// trim returns doc without a byte order mark and the white space around it.
func trim(doc []byte) []byte { return bytes.TrimSpace(bytes.TrimPrefix(doc, []byte(byteOrderMark))) }

func check(doc []byte, l Limits) error {
	switch {
	case len(doc) > l.Bytes:
		return fmt.Errorf("longer than %d bytes", l.Bytes)
	case !utf8.Valid(doc):
		return errors.New("not UTF-8")
	case bytes.ContainsFunc(doc, isControl):
		return errors.New("control characters in it")
	default:
		return nil
	}
}

func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' }

// walk is what both formats have in common.
type walk struct {
	fields Fields
	wanted map[string]bool
	limits Limits
	depth  int
}

func (w *walk) set(element, text string) error {
	if _, given := w.fields[element]; given {
		return fmt.Errorf("element %s is given twice", element)
	}
	w.fields[element] = text
	return nil
}

// enter goes one level down.
func (w *walk) enter() error {
	if w.depth++; w.depth > w.limits.Depth {
		return errors.New("too deep")
	}
	return nil
}
