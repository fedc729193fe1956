package broker

import (
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/clock"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// env is what every part of the broker is given. Its fields never change, and what they
// point at is safe for concurrent use.
type env struct {
	wechat  *wechat.Client
	clock   *clock.Clock
	wall    func() time.Time // the machine's clock
	metrics *metrics.Metrics
	log     *slog.Logger
	rand    func() float64
	// checkpoint is called at named points, see Options.
	checkpoint func(name string)
	// config is what SetConfig replaces.
	config *atomic.Pointer[configuration]
	// coordination is nil for a sidecar that is alone on its store.
	coordination *coordination
	// epoch grows with each account that comes or goes, or may have at another sidecar.
	epoch *atomic.Uint64
	// resets grows when an operator says that quotas were cleared: pauses that were set
	// before hold no longer.
	resets *atomic.Uint64
}

// skew is [Broker.Skew].
func (v *env) skew() (time.Duration, bool) {
	_, measured := v.clock.Offset()
	return v.clock.Now().Sub(v.wall().Round(0)).Round(time.Millisecond), measured
}

// showSkew has the metric follow both clocks.
func (v *env) showSkew() {
	skew, _ := v.skew()
	v.metrics.ClockSkew(skew)
}

// configuration is what is configured. It is immutable.
type configuration struct {
	secrets    map[Key]secret.Text // of components and own accounts
	components []string            // the appids of the components, sorted
}

func newConfiguration(components []ComponentConfig, accounts []AccountConfig) *configuration {
	c := &configuration{secrets: map[Key]secret.Text{}}
	for _, one := range components {
		c.secrets[componentKey(one.AppID)] = one.Secret
		c.components = append(c.components, one.AppID)
	}
	for _, one := range accounts {
		c.secrets[Key{Kind: KindAccount, AppID: one.AppID}] = one.Secret
	}
	slices.Sort(c.components)
	return c
}

// has reports whether the key of a component or an own account is configured.
func (c *configuration) has(key Key) bool {
	_, ok := c.secrets[key]
	return ok
}

// owned returns the key with texts of its own: those that it came with may be parts of longer
// ones, and an entry keeps them.
func (c *configuration) owned(key Key) Key {
	key.AppID = strings.Clone(key.AppID)
	if i, found := slices.BinarySearch(c.components, key.Component); found {
		key.Component = c.components[i]
	} else {
		key.Component = strings.Clone(key.Component)
	}
	return key
}

// isOwn reports whether appID is a configured own account's.
func (c *configuration) isOwn(appID string) bool { return c.has(Key{Kind: KindAccount, AppID: appID}) }

// isComponent reports whether appID is a configured component's.
func (c *configuration) isComponent(appID string) bool { return c.has(componentKey(appID)) }
