package metrics

import (
	"cmp"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// keyStates is a collector that has the keys counted at each scrape: a token
// dies without anybody setting a gauge.
type keyStates struct {
	keys, troubled, refused, budget, expiry, waiting *prometheus.Desc

	mu    sync.Mutex
	count CountKeys
}

// CountKeys counts the keys in use at a scrape.
type CountKeys func() *KeyCounts

// KeyCounts is what there is to say of the keys in use. Each pair of labels occurs once.
type KeyCounts struct {
	// Keys are counted by state.
	Keys []KeyCount
	// Troubled are those that live and whose last renewal failed, by the state that shows
	// once they do not.
	Troubled []KeyCount
	// Refused are those whose last renewal WeChat refused.
	Refused []Refused
	Budgets []Budget
	// Waiting is how many calls wait for a token.
	Waiting int
	// Expiries are those of the components and own accounts.
	Expiries []Expiry
}

// KeyCount is a number of keys.
type KeyCount struct {
	Kind, Label string
	N           int
}

// Refused is a number of keys whose last renewal WeChat refused.
type Refused struct {
	Kind    string
	Errcode int
	N       int
}

// Budget is how much of a daily budget the key that used most of it has used, from 0 to 1.
type Budget struct {
	Name, Kind string
	Used       float64
}

// Expiry is when the token of a configured key dies; the zero time for none.
type Expiry struct {
	Kind, AppID string
	At          time.Time
}

// maxExpiries is how many keys have a series of their own: those that die first. There may be
// thousands of own accounts.
const maxExpiries = 64

// knownRefusals are the errcodes with which WeChat refuses token calls; all others are
// counted together.
var knownRefusals = []int{
	-1, 40001, 40013, 40125, 40164, 42007, 45009, 45011, 45035, 48001,
	61003, 61004, 61005, 61006, 61011, 61023, 61024, 89501, 89503, 89506, 89507,
}

// refusals returns the keys that WeChat refused by the known errcodes, zeros included.
func (c *KeyCounts) refusals() []KeyCount {
	var all []KeyCount
	for _, kind := range knownKinds {
		rest := KeyCount{kind, other, 0}
		for _, r := range c.Refused {
			if r.Kind == kind && !slices.Contains(knownRefusals, r.Errcode) {
				rest.N += r.N
			}
		}
		all = append(all, rest)
		for _, errcode := range knownRefusals {
			known := KeyCount{kind, strconv.Itoa(errcode), 0}
			if at := slices.IndexFunc(c.Refused, func(r Refused) bool { return r.Kind == kind && r.Errcode == errcode }); at >= 0 {
				known.N = c.Refused[at].N
			}
			all = append(all, known)
		}
	}
	return all
}

func newKeyStates() *keyStates {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &keyStates{
		keys: desc("keys", "Components, own accounts, tickets and authorizers in use, by kind and state. "+
			"Authorizers that nobody calls are not counted.", "kind", "state"),
		troubled: desc("keys_in_trouble", "Keys whose token still lives and whose last renewal failed, by kind and by the state "+
			"that they will have when it dies.", "kind", "cause"),
		refused: desc("keys_refused", "Keys whose last renewal WeChat refused, whether their token still lives or not, by kind and errcode; "+
			"other for those not on the known list.", "kind", "errcode"),
		budget: desc("daily_budget_used_ratio", "How much of a daily budget of our own the key that used most of it has used, from 0 to 1. "+
			"The day is China's.", "budget", "kind"),
		expiry: desc("token_expiry_timestamp_seconds", "When the token of a configured component or own account dies, in seconds since 1970 of "+
			"WeChat's clock; 0 while there is none. Of more than 64 those that die first.", "kind", "appid"),
		waiting: desc("waiting_requests", "Calls of apps that wait for a token."),
	}
}

func (k *keyStates) set(count CountKeys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count = count
}

// Describe implements [prometheus.Collector].
func (k *keyStates) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{k.keys, k.troubled, k.refused, k.budget, k.expiry, k.waiting} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (k *keyStates) Collect(ch chan<- prometheus.Metric) {
	k.mu.Lock()
	count := k.count
	k.mu.Unlock()
	if count == nil {
		return
	}
	c := count()
	emit := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for d, counts := range map[*prometheus.Desc][]KeyCount{k.keys: c.Keys, k.troubled: c.Troubled, k.refused: c.refusals()} {
		for _, n := range counts {
			emit(d, float64(n.N), n.Kind, n.Label)
		}
	}
	for _, b := range c.Budgets {
		emit(k.budget, b.Used, b.Name, b.Kind)
	}
	emit(k.waiting, float64(c.Waiting))
	for _, e := range firstToDie(c.Expiries) {
		emit(k.expiry, e.seconds(), e.Kind, e.AppID)
	}
}

// firstToDie returns at most maxExpiries of all, those that die first.
func firstToDie(all []Expiry) []Expiry {
	sort.Slice(all, func(i, j int) bool {
		return cmp.Or(all[i].At.Compare(all[j].At), cmp.Compare(all[i].AppID, all[j].AppID)) < 0
	})
	return all[:min(len(all), maxExpiries)]
}

func (e Expiry) seconds() float64 {
	if e.At.IsZero() {
		return 0
	}
	return float64(e.At.Unix())
}
