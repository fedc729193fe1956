package push

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// request is what a push needs of a request's head. All of it is owned.
type request struct {
	method, path, remote                      string
	signature, msgSignature, timestamp, nonce string
	// component is what the path names; "" where it names none.
	component string
	// signed says that signature is valid for timestamp and nonce: the request, though
	// not its body, is WeChat's. signedAt is timestamp.
	signed   bool
	signedAt time.Time
	// head is the whole head of a request for a page; nil for any other, so that none is
	// kept while a push is handled.
	head []byte
	// repeated is whether one of those four is given more than once.
	repeated bool
	// length is that of the body; chunked for one in chunks.
	length int
	// http11 is the version. closes says that the sender wants the connection closed,
	// expectsContinue that it waits for 100 Continue.
	http11, closes, expectsContinue bool
}

const chunked = -1

// target is what the path of a call names.
type target struct{ component, what string }

// headReaders pools the readers that fasthttp parses from. A head is complete before it is
// parsed, so that no waiting connection holds a reader.
var headReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxHead) }}

// parseHead reads the head that data begins with and returns how long that is.
func parseHead(data []byte, remote string) (*request, int, error) {
	in := bytes.NewReader(data)
	br := headReaders.Get().(*bufio.Reader)
	br.Reset(in)
	req := fasthttp.AcquireRequest()
	defer func() {
		br.Reset(nil)
		headReaders.Put(br)
		fasthttp.ReleaseRequest(req)
	}()
	if err := req.Header.Read(br); err != nil {
		return nil, 0, errors.New("it is not HTTP") // the parser's error quotes it
	}
	r := ownRequest(req)
	r.remote = remote
	return r, len(data) - in.Len() - br.Buffered(), nil
}

// ownRequest copies what is needed out of fasthttp's buffers.
func ownRequest(req *fasthttp.Request) *request {
	r := &request{
		method: string(req.Header.Method()),
		// The path as it came: a decoded one could be read in two ways.
		path:            string(req.URI().PathOriginal()),
		length:          req.Header.ContentLength(),
		http11:          req.Header.IsHTTP11(),
		closes:          req.Header.ConnectionClose(),
		expectsContinue: req.MayContinue(),
	}
	if r.length < chunked { // no body
		r.length = 0
	}
	query := req.URI().QueryArgs()
	for name, value := range map[string]*string{
		"signature": &r.signature, "msg_signature": &r.msgSignature, "timestamp": &r.timestamp, "nonce": &r.nonce,
	} {
		values := query.PeekMulti(name)
		r.repeated = r.repeated || len(values) > 1
		if len(values) > 0 {
			*value = string(values[0])
		}
	}
	return r
}

// target splits /wechat/<component>/<what>.
func (r *request) target() (target, bool) {
	parts := strings.Split(r.path, "/")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "wechat" || parts[2] == "" {
		return target{}, false
	}
	return target{component: parts[2], what: parts[3]}, true
}
