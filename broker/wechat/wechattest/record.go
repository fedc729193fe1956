package wechattest

import (
	"net/http"
	"slices"
	"time"
)

// Request is the record of one call that reached WeChat.
type Request struct {
	At           time.Time
	Method, Host string
	// URI is the request target as it came; Path its path, undecoded.
	URI, Path string
	Header    http.Header
	// Body is the beginning of the body, up to Options.KeepBody; BodySize and
	// BodySHA256 (lower-case hex) are of all of it.
	Body       []byte
	BodySize   int64
	BodySHA256 string
	// TokenKind, TokenAppID, TokenComponent and TokenGeneration say which token came,
	// dead or alive; KindNone if none or none that WeChat ever gave. TokenComponent is
	// the component that an authorizer's token was given to.
	TokenKind                  Kind
	TokenAppID, TokenComponent string
	TokenGeneration            uint64
	// AppID is whom the call is about: the account that a token call names, or
	// the token's.
	AppID string
	// Status and Errcode are what was answered; Fault is the mode that spoilt
	// the answer, if any.
	Status, Errcode int
	Fault           Mode
}

// Limits of what the book counts by name, so that a client that makes names up
// cannot make it grow without end.
const (
	maxCounters   = 1 << 20
	maxViolations = 1000
)

type callKey struct{ path, appID string }

// book keeps what reached WeChat.
type book struct {
	keep       int
	requests   []Request
	oldest     int // index of the oldest record once the ring is full
	total      int
	byPath     map[string]int
	byKey      map[callKey]int
	byErrcode  map[int]int
	violations []string
	lost       int
}

func newBook(o Options) book {
	return book{keep: o.KeepRequests, byPath: map[string]int{}, byKey: map[callKey]int{}, byErrcode: map[int]int{}}
}

// record writes the call into the book.
func (s *Server) record(c *call, rep *reply, f Fault) {
	r := Request{
		At: c.now, Method: c.r.Method, Host: c.r.Host, URI: c.uri, Path: c.path,
		Header: c.r.Header.Clone(), Body: c.kept, BodySize: c.bodySize, BodySHA256: c.bodySum,
		AppID: c.subject, Status: rep.status, Errcode: rep.code, Fault: f.Mode,
	}
	if t := c.token; t != nil {
		r.TokenKind, r.TokenAppID, r.TokenGeneration = t.key.kind, t.key.appID, t.generation
		if t.key.kind == KindAuthorizer {
			r.TokenComponent = t.key.component
		}
		if r.AppID == "" {
			r.AppID = t.key.appID
		}
	}
	s.book.add(r)
	for _, v := range c.violations {
		s.book.violate(v)
	}
}

func (b *book) add(r Request) {
	b.total++
	b.byErrcode[r.Errcode]++
	if len(b.byKey) < maxCounters {
		b.byPath[r.Path]++
		b.byKey[callKey{r.Path, r.AppID}]++
	}
	if len(b.requests) < b.keep {
		b.requests = append(b.requests, r)
		return
	}
	b.requests[b.oldest] = r
	b.oldest = (b.oldest + 1) % b.keep
}

func (b *book) violate(text string) {
	if len(b.violations) >= maxViolations {
		b.lost++
		return
	}
	b.violations = append(b.violations, text)
}

// Calls returns how many calls of path have reached WeChat and were answered or
// broken off; a call counts once its latency has passed. The empty path counts
// all.
func (s *Server) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == "" {
		return s.book.total
	}
	return s.book.byPath[path]
}

// CallsFor returns how many calls of path were about appID.
func (s *Server) CallsFor(path, appID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.byKey[callKey{path, appID}]
}

// Answered returns how many calls were answered with errcode; 0 counts successes.
func (s *Server) Answered(errcode int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.byErrcode[errcode]
}

// Requests returns the last calls, oldest first, at most Options.KeepRequests.
// The caller must not change what the records point to.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Clone(s.book.requests[s.book.oldest:]), s.book.requests[:s.book.oldest]...)
}

// Violations returns what a good client never does and this one did, oldest
// first, at most the first 1000.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.book.violations)
}

// Forget empties the records, counts and violations.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book = newBook(s.opt)
}
