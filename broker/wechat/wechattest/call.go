package wechattest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxJSON bounds a body that is kept whole; maxMedia an uploaded file (the
// largest that WeChat takes is 10 MB).
const (
	maxJSON  = 4 << 20
	maxMedia = 10 << 20
)

// param is one pair of the query, decoded.
type param struct{ name, value string }

// call is one request while it is judged.
type call struct {
	r *http.Request
	// now is the one moment at which the call is judged.
	now   time.Time
	path  string
	uri   string
	query []param
	// body is the whole body of anything but multipart; kept is what the
	// record shows.
	body      []byte
	kept      []byte
	bodySize  int64
	bodySum   string
	upload    *mediaFile
	multipart bool
	// fields are the members of a JSON body, after parse.
	fields    map[string]json.RawMessage
	parsed    bool
	parseCode int
	// token is what the call was resolved to; nil for none.
	token *token
	// subject is the appid that the call is about, where it is not the token's.
	subject string
	// passed is the faults that chance has let this call escape.
	passed     map[*armedFault]bool
	violations []string
}

func (c *call) violation(text string) { c.violations = append(c.violations, text) }

// newCall takes the request line apart. It does not touch the body.
func newCall(r *http.Request) *call {
	c := &call{r: r, uri: r.RequestURI, path: r.URL.EscapedPath()}
	if c.uri == "" {
		c.uri = r.URL.RequestURI()
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		c.query = append(c.query, param{unescape(name), unescape(value)})
	}
	return c
}

// unescape decodes a query text, and leaves it as it is if it cannot.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// get returns the first query parameter of that name.
func (c *call) get(name string) string {
	for _, p := range c.query {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// meter keeps the first bytes of a stream and counts and sums all.
type meter struct {
	r    io.Reader
	keep int
	kept []byte
	size int64
	sum  hash.Hash
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.size += int64(n)
	m.sum.Write(p[:n])
	if room := m.keep - len(m.kept); room > 0 {
		m.kept = append(m.kept, p[:min(n, room)]...)
	}
	return n, err
}

// readBody reads the request to its end. An error means that the client broke
// off.
func (c *call) readBody(keep int) error {
	if c.r.Body == nil {
		c.bodySum = hex.EncodeToString(sha256.New().Sum(nil))
		return nil
	}
	m := &meter{r: c.r.Body, keep: keep, sum: sha256.New()}
	err := c.readParts(m)
	if err == nil {
		_, err = io.Copy(io.Discard, m)
	}
	c.kept, c.bodySize, c.bodySum = m.kept, m.size, hex.EncodeToString(m.sum.Sum(nil))
	return err
}

func (c *call) readParts(m *meter) error {
	kind, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		body, err := io.ReadAll(io.LimitReader(m, maxJSON))
		c.body = body
		return err
	}
	c.multipart = true
	parts := multipart.NewReader(m, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return nil // a malformed form shows as a missing part
		}
		if err := c.takePart(part); err != nil {
			return nil
		}
	}
}

func (c *call) takePart(part *multipart.Part) error {
	if part.FormName() != "media" || c.upload != nil {
		_, err := io.Copy(io.Discard, part)
		return err
	}
	content, err := io.ReadAll(io.LimitReader(part, maxMedia))
	if err != nil {
		return err
	}
	c.upload = &mediaFile{name: part.FileName(), contentType: part.Header.Get("Content-Type"), content: content}
	return nil
}

// parse reads the body as one JSON object, once; it returns WeChat's code for a
// body that is none.
func (c *call) parse() int {
	if !c.parsed {
		c.parsed, c.parseCode = true, c.parseStrictly()
	}
	return c.parseCode
}

func (c *call) parseStrictly() int {
	if len(c.body) == 0 {
		return codeEmptyBody
	}
	if !utf8.Valid(c.body) {
		return codeBadData
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	if err := d.Decode(&c.fields); err != nil || c.fields == nil {
		return codeBadData
	}
	if _, err := d.Token(); err != io.EOF {
		return codeBadData
	}
	return codeOK
}

// text returns the member name of the body as a string; ok is false for another
// type. A missing member is "".
func (c *call) text(name string) (value string, ok bool) {
	raw, found := c.fields[name]
	if !found || string(raw) == "null" {
		return "", true
	}
	return value, json.Unmarshal(raw, &value) == nil
}

// number returns the member name of the body as an integer.
func (c *call) number(name string) (int, bool) {
	raw, found := c.fields[name]
	if !found {
		return 0, false
	}
	n, err := strconv.Atoi(string(raw))
	return n, err == nil
}

// flag returns the member name of the body as a boolean; missing is false.
func (c *call) flag(name string) (value, ok bool) {
	raw, found := c.fields[name]
	if !found {
		return false, true
	}
	return value, json.Unmarshal(raw, &value) == nil
}

// texts fills each target with the member of that name; false if one is not a
// string.
func (c *call) texts(targets map[string]*string) bool {
	for name, target := range targets {
		value, ok := c.text(name)
		if !ok {
			return false
		}
		*target = value
	}
	return true
}
