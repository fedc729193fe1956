package push

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// maxDrain is how much of an oversized body is read away, so that a sender that
// reads nothing until it has sent everything still gets its answer.
const maxDrain = 8 * msgcrypt.MaxEnvelope

// errTooLarge and errCutOff are why a body could not be read.
var (
	errTooLarge = errors.New("the body is longer than 1 MiB")
	errCutOff   = errors.New("the body ended early, or did not come within ten seconds")
)

// request is what a push needs of a call. All of it is owned.
type request struct {
	method, path, remote                               string
	signature, msgSignature, timestamp, nonce, encType string
}

// head is what is kept of a request while its body is read. It is owned.
type head struct{ method, uri string }

// readHead copies it out of the bytes that fasthttp lends.
func readHead(h *fasthttp.RequestHeader) head {
	return head{method: string(h.Method()), uri: string(h.RequestURI())}
}

// restore gives a request that was wiped its head again.
func (h head) restore(ctx *fasthttp.RequestCtx) {
	ctx.Request.Header.SetMethod(h.method)
	ctx.Request.SetRequestURI(h.uri)
}

// target is what the path of a call names.
type target struct{ component, what string }

// readRequest copies what is needed out of the bytes that fasthttp lends.
func readRequest(ctx *fasthttp.RequestCtx) *request {
	query := ctx.QueryArgs()
	value := func(name string) string { return string(query.Peek(name)) }
	return &request{
		method: string(ctx.Method()),
		// The path as it came: a decoded one could be read two ways.
		path:         string(ctx.URI().PathOriginal()),
		remote:       ctx.RemoteAddr().String(),
		signature:    value("signature"),
		msgSignature: value("msg_signature"),
		timestamp:    value("timestamp"),
		nonce:        value("nonce"),
		encType:      value("encrypt_type"),
	}
}

// target splits /wechat/<component>/<what>.
func (r *request) target() (target, bool) {
	parts := strings.Split(r.path, "/")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "wechat" || parts[2] == "" {
		return target{}, false
	}
	return target{component: parts[2], what: parts[3]}, true
}

// readBody returns a body of at most 1 MiB, counted here: with streaming the
// server's own limit refuses nothing.
func readBody(ctx *fasthttp.RequestCtx) ([]byte, error) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	if ctx.Request.Header.ContentLength() > maxDrain {
		ctx.SetConnectionClose()
		return nil, errTooLarge
	}
	var body bytes.Buffer
	n, err := body.ReadFrom(io.LimitReader(stream, msgcrypt.MaxEnvelope+1))
	switch {
	case err != nil:
		ctx.SetConnectionClose()
		return nil, errCutOff
	case n > msgcrypt.MaxEnvelope:
		_, _ = io.CopyN(io.Discard, stream, maxDrain)
		ctx.SetConnectionClose()
		return nil, errTooLarge
	default:
		return body.Bytes(), nil
	}
}
