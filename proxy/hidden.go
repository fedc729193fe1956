package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// hidden is what a call carries that its app does not know: the token that we
// added, the secret that we put in, each plain and, where that differs, escaped.
// WeChat's answers have no reason to repeat them; but redirects, and the pages and
// texts of errors, may well repeat the address or the body that was sent.
type hidden struct{ token, tokenEscaped, secret, secretEscaped []byte }

// setToken notes the token that stands at the end of query.
func (h *hidden) setToken(token string, query []byte) {
	h.token, h.tokenEscaped = append(h.token[:0], token...), nil
	if !bytes.HasSuffix(query, h.token) {
		h.tokenEscaped = query[bytes.LastIndexByte(query, '=')+1:]
	}
}

func (h *hidden) setSecret(secret string) {
	h.secret, h.secretEscaped = []byte(secret), appendEscaped(nil, secret)
}

// in reports whether b repeats any of it.
func (h *hidden) in(b []byte) bool {
	for _, text := range h.texts() {
		if len(text) > 0 && len(text) <= len(b) && bytes.Contains(b, text) {
			return true
		}
	}
	return false
}

func (h *hidden) texts() [4][]byte {
	return [...][]byte{h.token, h.tokenEscaped, h.secret, h.secretEscaped}
}

// cover puts a placeholder in its place wherever the body that was read into resp
// repeats it.
func (h *hidden) cover(resp *fasthttp.Response) {
	body := held(resp)
	if !h.in(body) {
		return
	}
	for _, text := range h.texts() {
		if len(text) > 0 {
			body = bytes.ReplaceAll(body, text, []byte(placeholder))
		}
	}
	resp.SetBodyRaw(body)
}
