package pushdoc

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// ToJSON returns an XML document as a JSON object of what lies in its root, in the order
// of the document. An element with text becomes a string, exactly as it stands there, one with
// elements in it an object, one that is given several times an array; text beside elements and
// attributes are left out. Numbers stay strings: a MsgId has more digits than
// JavaScript's numbers. A document that is JSON already comes back as it is, without a
// byte order mark. ToJSON refuses what [Read] refuses, but for an element that is given
// twice or in pieces. It keeps nothing of doc, and is safe for concurrent use.
func ToJSON(doc []byte, l Limits) ([]byte, error) {
	if _, err := Read(doc, nil, l); err != nil {
		return nil, err
	}
	if doc = trim(doc); IsJSON(doc) {
		return bytes.Clone(doc), nil
	}
	root, err := parseTree(doc)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	root.writeObject(&b)
	return b.Bytes(), nil
}

// element is an element of a document that [Read] has accepted.
type element struct {
	name     string
	text     strings.Builder
	children []*element
}

func parseTree(doc []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	open := []*element{{}} // holds the root
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return open[0].children[0], nil
		case err != nil:
			return nil, errors.New("not well-formed XML") // the decoder's error quotes the document
		}
		last := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local}
			last.children = append(last.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			last.text.Write(t)
		}
	}
}

func (e *element) write(b *bytes.Buffer) {
	if len(e.children) > 0 {
		e.writeObject(b)
		return
	}
	writeString(b, e.text.String())
}

// writeObject writes the children, those of one name together in the place of the first.
func (e *element) writeObject(b *bytes.Buffer) {
	var names []string
	named := map[string][]*element{}
	for _, c := range e.children {
		if named[c.name] == nil {
			names = append(names, c.name)
		}
		named[c.name] = append(named[c.name], c)
	}
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(b, name)
		b.WriteByte(':')
		writeElements(b, named[name])
	}
	b.WriteByte('}')
}

func writeElements(b *bytes.Buffer, same []*element) {
	if len(same) == 1 {
		same[0].write(b)
		return
	}
	b.WriteByte('[')
	for i, e := range same {
		if i > 0 {
			b.WriteByte(',')
		}
		e.write(b)
	}
	b.WriteByte(']')
}

func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string and a buffer never fail
	b.Truncate(b.Len() - 1)
}
