package pushdoc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

func readXML(doc []byte, base walk) (Fields, error) {
	if err := checkMarkup(doc, base.limits); err != nil {
		return nil, err
	}
	d := xml.NewDecoder(bytes.NewReader(doc))
	w := xmlWalk{walk: base}
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && !w.started:
			return nil, errors.New("no element in it")
		case errors.Is(err, io.EOF):
			return w.fields, nil
		case err != nil:
			// The decoder's error quotes the document.
			return nil, errors.New("not well-formed XML")
		}
		if err := w.step(token); err != nil {
			return nil, err
		}
	}
}

func checkMarkup(doc []byte, l Limits) error {
	switch {
	case bytes.Count(doc, []byte("<")) > l.Markup, bytes.Count(doc, []byte("=")) > l.Markup:
		return errors.New("too much markup")
	case !l.TextOnly:
		return nil
	case bytes.IndexByte(doc, '&') >= 0:
		return errors.New("an entity in it")
	case bytes.Count(doc, []byte("<!")) != bytes.Count(doc, []byte("<![CDATA[")):
		return errors.New("a document type or a comment in it")
	default:
		return nil
	}
}

// xmlWalk collects the wanted elements from the tokens of a document.
type xmlWalk struct {
	walk
	started bool
	element string // the wanted element that is open, or empty
	text    string // what stands in it
}

func (w *xmlWalk) step(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return w.open(t)
	case xml.EndElement:
		return w.close()
	case xml.CharData:
		return w.chars(t)
	case xml.ProcInst:
		// The decoder itself refuses a declaration of another encoding than UTF-8.
		if t.Target == "xml" && !w.started {
			return nil
		}
	}
	return errors.New("a document type, comment or processing instruction in it")
}

func (w *xmlWalk) open(t xml.StartElement) error {
	err := w.enter()
	switch {
	case err != nil:
		return err
	case w.depth == 1 && (w.started || t.Name != (xml.Name{Local: "xml"})):
		return errors.New("the root is not one xml element")
	case w.element != "":
		return fmt.Errorf("element %s has elements in it", w.element)
	}
	w.started = true
	if w.depth == 2 && t.Name.Space == "" && w.wanted[t.Name.Local] {
		w.element, w.text = t.Name.Local, ""
	}
	return nil
}

func (w *xmlWalk) close() error {
	w.depth--
	if w.element == "" {
		return nil
	}
	element := w.element
	w.element = ""
	return w.set(element, w.text)
}

func (w *xmlWalk) chars(t xml.CharData) error {
	text := strings.TrimSpace(string(t))
	switch {
	case text == "":
		return nil
	case w.depth == 0:
		return errors.New("text outside the root")
	case w.element == "":
		return nil
	case w.text != "":
		// Text and CDATA sections side by side: parsers differ on what it says.
		return fmt.Errorf("element %s is in pieces", w.element)
	}
	w.text = text
	return nil
}
