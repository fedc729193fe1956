package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// Status is all that the API and the page say of a sidecar at once. It holds no secret.
type Status struct {
	About
	// State is starting, serving or draining, and Now WeChat's time.
	State string    `json:"state"`
	Now   time.Time `json:"now"`
	// Findings are what is wrong, the worst first; empty where nothing is.
	Findings []Finding `json:"findings"`
	// Components and Accounts are those that are configured. Of authorizers there may be a
	// hundred thousand: Keys counts them.
	Components []broker.ComponentStatus `json:"components"`
	Accounts   []broker.AccountStatus   `json:"accounts"`
	Keys       broker.Overview          `json:"keys"`
	Storage    Storage                  `json:"storage"`
	WeChat     Hosts                    `json:"wechat"`
	// Shared says how this sidecar gets on with the others on its store; nil for one that is
	// alone.
	Shared     *broker.CoordinationStatus `json:"shared,omitempty"`
	Clock      Clock                      `json:"clock"`
	Outbox     OutboxStatus               `json:"outbox"`
	Log        LogSettings                `json:"log"`
	LastReload *ReloadResult              `json:"last_reload,omitempty"`
}

// Storage says how the store is.
type Storage struct {
	// Error is why it cannot be read now; empty where it can.
	Error string `json:"error,omitempty"`
	// Unsaved is how many keys memory has more of than the store, and UnsavedReason why it did
	// not take them.
	Unsaved       int    `json:"unsaved"`
	UnsavedReason string `json:"unsaved_reason,omitempty"`
	// Repaired is what became of a file that was damaged; nil for nothing.
	Repaired *Repair `json:"repaired,omitempty"`
}

// Clock compares our clock with WeChat's.
type Clock struct {
	// SkewSeconds is WeChat's clock minus ours, and Measured whether this run has seen it.
	SkewSeconds float64 `json:"skew_seconds"`
	Measured    bool    `json:"measured"`
}

// OutboxStatus says how authorization events reach apps.
type OutboxStatus struct {
	Waiting       int     `json:"waiting"`
	DeadLetters   int     `json:"dead_letters"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// Delivering says that this sidecar delivers them; of several that share a store, one does.
	Delivering bool `json:"delivering"`
	// DeliveredBy is the other sidecar that does, as far as it is known.
	DeliveredBy string `json:"delivered_by,omitempty"`
}

// storePatience is how long the store may take before it is said not to answer.
const storePatience = 2 * time.Second

func (a *api) getStatus(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	return a.status(r.Context()), nil
}

// status gathers the status. It waits for the store at most.
func (a *api) status(ctx context.Context) Status {
	s := Status{
		About: a.About(), State: a.Control.State(), Now: a.Broker.Now().UTC().Truncate(time.Second),
		Components: a.Broker.Components(), Accounts: a.Broker.OwnAccounts(), Keys: a.Broker.Overview(),
		Storage: Storage{Unsaved: a.Broker.Unsaved(), UnsavedReason: a.Broker.UnsavedReason()}, WeChat: a.hosts(), Log: a.logSettings(), LastReload: a.Control.LastReload(),
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if err := a.Broker.CheckStore(ctx); err != nil {
		s.Storage.Error = err.Error()
	}
	if a.Repaired != nil {
		s.Storage.Repaired = a.Repaired()
	}
	if shared, ok := a.Broker.Coordination(); ok {
		s.Shared = &shared
	}
	skew, measured := a.Broker.Skew()
	s.Clock = Clock{skew.Seconds(), measured}
	if a.Outbox != nil {
		waiting, dead, oldest := a.Outbox.Stats()
		s.Outbox = OutboxStatus{waiting, dead, oldest.Round(time.Second).Seconds(), a.Outbox.Delivers(), a.Outbox.DeliveredBy()}
	}
	s.Findings = findings(&s)
	return s
}
