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
	// echo is echostr.
	echo string
	// component is what the path names; "" where it names none. account is the appid of the
	// account that a message is for.
	component, account string
	// signed says that signature is valid for timestamp and nonce: the request, though
	// not its body, is WeChat's. signedAt is timestamp.
	signed   bool
	signedAt time.Time
	// head is the whole head of a request for a page; nil for any other, so that none is
	// kept while a push is handled.
	head []byte
	// readAt is when the head had come, by the local clock.
	readAt time.Time
	// repeated is whether one of those five is given more than once.
	repeated bool
	// length is that of the body; chunked for one in chunks.
	length int
	// http11 is the version. closes says that the sender wants the connection closed,
	// expectsContinue that it waits for 100 Continue.
	http11, closes, expectsContinue bool
}

const chunked = -1

// target is what the path of a call names; account is "" where it names none.
type target struct{ id, what, account string }

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
		"echostr": &r.echo,
	} {
		values := query.PeekMulti(name)
		r.repeated = r.repeated || len(values) > 1
		if len(values) > 0 {
			*value = string(values[0])
		}
	}
	return r
}

// target splits /wechat/<id>/<what>, which /<account> may follow.
func (r *request) target() (target, bool) {
	parts := strings.Split(r.path, "/")
	switch {
	case len(parts) < 4 || parts[0] != "" || parts[1] != "wechat" || parts[2] == "":
		return target{}, false
	case len(parts) == 4:
		return target{id: parts[2], what: parts[3]}, true
	case len(parts) == 5 && parts[4] != "":
		return target{id: parts[2], what: parts[3], account: parts[4]}, true
	default:
		return target{}, false
	}
}
