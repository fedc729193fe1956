package push

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

// replyXML writes a reply in JSON, which [pushdoc.Read] has taken, as WeChat's XML: a member is
// an element, one of a list an item. Numbers are bare, all else is CDATA.
func replyXML(reply []byte) ([]byte, error) {
	w := replyWriter{in: json.NewDecoder(bytes.NewReader(reply))}
	w.in.UseNumber()
	if err := w.element("xml"); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadReply, err)
	}
	if _, err := pushdoc.Read(w.out.Bytes(), nil, replyLimits); err != nil {
		// It has characters that XML has not, or became too long.
		return nil, fmt.Errorf("%w: as XML: %w", errBadReply, err)
	}
	return w.out.Bytes(), nil
}

type replyWriter struct {
	in  *json.Decoder
	out bytes.Buffer
}

// element writes the next value as the element name.
func (w *replyWriter) element(name string) error {
	token, err := w.in.Token()
	if err != nil {
		return errors.New("not well-formed JSON")
	}
	w.out.WriteString("<" + name + ">")
	switch v := token.(type) {
	case json.Delim:
		err = w.members(v)
	case json.Number:
		w.out.WriteString(v.String())
	case string:
		w.text(v)
	case bool:
		w.text(fmt.Sprint(v))
	}
	w.out.WriteString("</" + name + ">")
	return err
}

// members writes the members of an object or a list, whose first character was read.
func (w *replyWriter) members(start json.Delim) error {
	for w.in.More() {
		name := "item"
		if start == '{' {
			token, err := w.in.Token()
			if err != nil {
				return errors.New("not well-formed JSON")
			}
			if name, _ = token.(string); !isElementName(name) {
				return errors.New("a member whose name is not one of letters, digits and _")
			}
		}
		if err := w.element(name); err != nil {
			return err
		}
	}
	if _, err := w.in.Token(); err != nil && !errors.Is(err, io.EOF) {
		return errors.New("not well-formed JSON")
	}
	return nil
}

func (w *replyWriter) text(s string) {
	w.out.WriteString("<![CDATA[" + strings.ReplaceAll(s, "]]>", "]]]]><![CDATA[>") + "]]>")
}

// isElementName reports whether name is a letter with letters, digits and _ behind it.
func isElementName(name string) bool {
	for i, c := range []byte(name) {
		isLetter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !isLetter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}
