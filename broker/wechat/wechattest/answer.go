package wechattest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is an answer before it is written: as HTTP, or in memory.
type reply struct {
	status int
	header http.Header
	body   []byte
	// stream, if set, stands in the body's place and has size bytes.
	stream io.Reader
	size   int64
	// code is the errcode, for the record.
	code int
	// end is how the answer breaks off; drip the pause before each byte.
	end  Mode
	drip time.Duration
	raw  string
	// chunked: without Content-Length.
	chunked bool
}

// object is a JSON object of an answer.
type object map[string]any

// answer makes a JSON answer of v.
func answer(v any) reply {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("wechattest: encode answer: " + err.Error())
	}
	return reply{status: http.StatusOK, body: bytes.TrimRight(b.Bytes(), "\n")}
}

// refuse makes WeChat's answer to a failure.
func (s *Server) refuse(code int, hint ...string) reply {
	rep := answer(object{"errcode": code, "errmsg": s.errmsg(code, hint...)})
	rep.code = code
	return rep
}

// refuseText is refuse with the code as a string, as WeChat writes it in places.
func (s *Server) refuseText(code int) reply {
	rep := answer(object{"errcode": strconv.Itoa(code), "errmsg": s.errmsg(code)})
	rep.code = code
	return rep
}

func (s *Server) errmsg(code int, hint ...string) string {
	text := strings.Join(append([]string{textOf(code)}, hint...), " ")
	return text + " rid: " + s.mint.rid()
}

// ok is the answer of a call that has nothing to say.
func ok() reply { return answer(object{"errcode": 0, "errmsg": "ok"}) }

// dress adds the headers that depend on the path and on the clock.
func (s *Server) dress(rep *reply, path string) {
	if rep.header == nil {
		rep.header = http.Header{}
	}
	if rep.header.Get("Content-Type") == "" {
		rep.header.Set("Content-Type", contentType(path))
	}
	rep.header.Set("Date", s.now().Add(s.skew).UTC().Format(http.TimeFormat))
}

// contentType is that of a JSON answer. WeChat is not of one mind.
func contentType(path string) string {
	if strings.HasPrefix(path, "/sns/") || strings.HasPrefix(path, "/cgi-bin/media/") {
		return "text/plain"
	}
	return "application/json; charset=utf-8"
}

// length is the number of bytes that the body has when whole.
func (r *reply) length() int64 {
	if r.stream != nil {
		return r.size
	}
	return int64(len(r.body))
}

// reader returns the body from its beginning.
func (r *reply) reader() io.Reader {
	if r.stream != nil {
		return r.stream
	}
	return bytes.NewReader(r.body)
}

// pattern yields bytes that repeat every 251, so that a shift or a gap shows.
type pattern struct{ at int64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte((p.at + int64(i)) % 251)
	}
	p.at += int64(len(b))
	return len(b), nil
}
