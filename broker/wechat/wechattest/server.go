package wechattest

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Server is a simulated WeChat. Make one with [New]. Its methods are safe for
// concurrent use.
type Server struct {
	opt Options

	// mu guards everything below. A call's verdict is made under it; no body is
	// read, no latency waited for and no answer written.
	mu           sync.Mutex
	mint         mint
	components   map[string]*component
	accounts     map[string]*account
	settings     map[string]string // what a configured secret is, by its value
	purse        purse
	refreshes    map[string]*refreshToken
	tickets      map[string]*ticket
	authCodes    map[string]*authCode
	preAuthCodes map[string]*preAuthCode
	logins       map[string]*login
	media        map[string]*mediaFile
	mediaOrder   []string
	quota        quota
	faults       []*armedFault
	released     chan struct{}
	skew         time.Duration
	outage       bool
	book         book
	pushes       []PushRecord
	customers    customerMessages
	wake         chan struct{}
	numbered     uint64

	net listener
}

// New returns a WeChat without components and accounts. It starts nothing.
func New(options Options) *Server {
	o := options.withDefaults()
	s := &Server{
		opt:          o,
		mint:         newMint(o.Seed),
		components:   map[string]*component{},
		accounts:     map[string]*account{},
		settings:     map[string]string{},
		purse:        newPurse(keepTokens),
		refreshes:    map[string]*refreshToken{},
		tickets:      map[string]*ticket{},
		authCodes:    map[string]*authCode{},
		preAuthCodes: map[string]*preAuthCode{},
		logins:       map[string]*login{},
		media:        map[string]*mediaFile{},
		quota:        newQuota(),
		released:     make(chan struct{}),
		book:         newBook(o),
		customers:    customerMessages{more: make(chan struct{})},
		wake:         make(chan struct{}, 1),
	}
	s.net.server = s
	return s
}

// ServeHTTP answers one API call as WeChat would, or shows the authorization page. It serves
// every host. The page is not among [Server.Requests], and no fault strikes it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if slices.Contains(pagePaths, r.URL.Path) {
		s.servePage(w, r)
		return
	}
	rep := s.handle(r)
	rep.writeTo(w, r)
}

// now returns the simulator's time.
func (s *Server) now() time.Time { return s.opt.Now() }

// Secrets returns every secret of the simulated WeChat: tokens, refresh tokens,
// tickets, codes, app secrets, push tokens and AES keys, dead ones included; of
// tokens the last million. Tests search logs, pages and files for them.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Keys(s.purse.byText))
	all = slices.AppendSeq(all, maps.Keys(s.refreshes))
	all = slices.AppendSeq(all, maps.Keys(s.tickets))
	all = slices.AppendSeq(all, maps.Keys(s.authCodes))
	all = slices.AppendSeq(all, maps.Keys(s.logins))
	all = slices.AppendSeq(all, maps.Keys(s.settings))
	return slices.DeleteFunc(all, func(t string) bool { return t == "" })
}
