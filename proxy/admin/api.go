package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// Options are what the admin listener shows and does. Broker, Control,
// About and Log are needed.
type Options struct {
	// KeySHA256 is the SHA-256 of the operators' key. Nil lets in whoever reaches the
	// listener by a loopback name, which must then be on loopback or a socket.
	KeySHA256 *[32]byte
	Broker    broker.Admin
	Control   Control
	// Pushes has the last pushes, Outbox the events on their way to apps, and Upstream says
	// how WeChat's hosts are. Nil shows none.
	Pushes   Pushes
	Outbox   Outbox
	Upstream func() []Host
	// About returns what the sidecar says of itself.
	About func() About
	// Pprof serves Go's profiles under /debug/pprof/.
	Pprof bool
	// Repaired returns what became of a store in a file that was damaged, nil for nothing.
	Repaired func() *Repair
	Log      *slog.Logger
}

// About is what a sidecar says of itself.
type About struct {
	Version   string     `json:"version"`
	StartedAt time.Time  `json:"started_at"`
	Store     string     `json:"store"` // where the store is, without a secret
	Listeners []Listener `json:"listeners"`
}

// Listener is one of the sidecar's listeners.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Control is what the process as a whole is told. It is safe for concurrent use.
type Control interface {
	// State is starting, serving or draining.
	State() string
	// Link returns the address of the page on which a merchant authorises a configured
	// component. The error says what is wrong with r, or that there are no such pages.
	Link(component string, r LinkRequest) (string, error)
	// Reload reads the configuration anew. A configuration that is refused is no error, but
	// a result that is not Applied.
	Reload(ctx context.Context) (ReloadResult, error)
	// LastReload returns the result of the last reload, nil for none.
	LastReload() *ReloadResult
	// Quit has the process stop as SIGTERM does. It does not wait for it.
	Quit()
	// LogLevel is the level in force, and AccessLog whether each call is logged.
	LogLevel() *slog.LevelVar
	AccessLog() *atomic.Bool
}

// ReloadResult is what came of reading the configuration anew.
type ReloadResult struct {
	At time.Time `json:"at"`
	// Why says what caused it: SIGHUP, a file changed, or the admin API.
	Why string `json:"why"`
	// Applied says that the configuration is in force. Faults say why it is not.
	Applied bool     `json:"applied"`
	Faults  []string `json:"faults"`
	// NeedRestart are keys that differ and that only a restart takes over.
	NeedRestart []string `json:"need_restart"`
	Warnings    []string `json:"warnings"`
}

// Pushes has the last pushes. *push.Server implements it.
type Pushes interface {
	RecentEvents() []push.Record
	RecentMessages() []push.Record
}

// Outbox has events on their way to apps. *outbox.Outbox implements it.
type Outbox interface {
	Delivers() bool
	// DeliveredBy returns which other sidecar delivers events, empty for none and while that is
	// not known.
	DeliveredBy() string
	Stats() (waiting, dead int, oldest time.Duration)
	DeadLetters() []outbox.DeadLetter
	Redeliver(ctx context.Context) (int, error)
	RedeliverOne(ctx context.Context, id string) (bool, error)
}

// Repair is what became of a store's file that was damaged.
type Repair struct {
	// Reason says what was damaged, MovedTo is where the damaged file is now, and Kept how many
	// records were carried over into the new one.
	Reason  string `json:"reason"`
	MovedTo string `json:"moved_to"`
	Kept    int    `json:"kept"`
}

// Host is one of WeChat's API hosts.
type Host struct {
	Name string `json:"name"`
	// Failures is how many calls failed in a row, and OutUntil when a host that is out for
	// them is tried again; nil for one that is not out.
	Failures int        `json:"failures"`
	OutUntil *time.Time `json:"out_until,omitempty"`
}

// prefix is where the API begins.
const prefix = "/api/v1/"

// api serves the admin listener.
type api struct {
	Options
	routes []route       // operations, which is not named by what it names
	places chan struct{} // one for each request that is being answered
}

// maxAtOnce is how many requests are answered at once. Some pass over all accounts, and must
// not slow down apps' calls.
const maxAtOnce = 8

// NewHandler returns the handler of the admin listener. It is safe for concurrent use.
func NewHandler(o Options) (http.Handler, error) {
	if o.Control == nil || o.About == nil || o.Log == nil {
		return nil, errors.New("admin: Options.Control, About or Log is nil")
	}
	a := &api{Options: o, routes: operations, places: make(chan struct{}, maxAtOnce)}
	return a.guard(http.HandlerFunc(a.serve)), nil
}

// operations are those that there are. Nothing has to be made of the list at the start, which
// would take kilobytes of the program.
var operations = []route{
	{get, "status", (*api).getStatus},
	{get, "components", (*api).listComponents},
	{get, "components/{appid}", (*api).showComponent},
	{post, "components/{appid}/renew", (*api).renewComponent},
	{post, "components/{appid}/reconcile", (*api).reconcile},
	{post, "components/{appid}/ticket/start", (*api).startTickets},
	{post, "components/{appid}/link", (*api).link},
	{get, "accounts", (*api).listAccounts},
	{get, "accounts/{appid}", (*api).showAccount},
	{post, "accounts/{appid}/renew", (*api).renewAccount},
	{post, "accounts/{appid}/reconcile", (*api).reconcileAccount},
	{post, "accounts/{appid}/forget", (*api).forgetAccount},
	{post, "budgets/reset", (*api).resetBudgets},
	{get, "events", (*api).listEvents},
	{get, "messages", (*api).listMessages},
	{get, "dead-letters", (*api).listDeadLetters},
	{post, "dead-letters/redeliver", (*api).redeliverAll},
	{post, "dead-letters/{id}/redeliver", (*api).redeliverOne},
	{get, "hosts", (*api).listHosts},
	{post, "reload", (*api).reload},
	{get, "log", (*api).showLog},
	{post, "log", (*api).setLog},
	{post, "quit", (*api).quit},
	{get, "openapi.yaml", (*api).openAPI},
}
