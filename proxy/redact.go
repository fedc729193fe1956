package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// injected has what we added to a call and its app does not know: the token and the
// secret, each plain and, if that differs, escaped. Redirects, and the pages and texts of
// errors, may repeat the URL or the body that was sent.
type injected struct{ token, tokenEscaped, secret, secretEscaped []byte }

func (i *injected) setSecret(secret string) {
	i.secret, i.secretEscaped = []byte(secret), appendEscaped(nil, secret)
}

// foundIn reports whether b has one of them.
func (i *injected) foundIn(b []byte) bool {
	return isIn(i.token, b) || isIn(i.tokenEscaped, b) || isIn(i.secret, b) || isIn(i.secretEscaped, b)
}

// isIn reports whether b has text, unless that is empty.
func isIn(text, b []byte) bool {
	// Nearly all that is looked through, such as the headers of answers, is shorter.
	return len(text) > 0 && len(text) <= len(b) && bytes.Contains(b, text)
}

func (i *injected) texts() [4][]byte {
	return [...][]byte{i.token, i.tokenEscaped, i.secret, i.secretEscaped}
}

// redact replaces them by a placeholder in the body that was read into resp.
func (i *injected) redact(resp *fasthttp.Response) {
	body := bufferedBody(resp)
	if !i.foundIn(body) {
		return
	}
	for _, text := range i.texts() {
		if len(text) > 0 {
			body = bytes.ReplaceAll(body, text, []byte(placeholder))
		}
	}
	resp.SetBodyRaw(body)
}
