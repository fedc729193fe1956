package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// lessonsKept is how many things learnt from apps' own calls may wait to be
// stored: four pages of the list of authorizers.
const lessonsKept = 4 * wechat.ListPageSize

// lesson is what an app's own call of the list or of an info has shown.
type lesson struct {
	component  string
	authorizer wechat.Authorizer
	seen       time.Time
}

// Learn says that WeChat named refreshToken for an authorizer of the component, in
// an answer to an app. It does not wait for it to be stored. What can be neither an
// appid nor a token is passed over; what cannot be taken in now is found by reading the
// list.
func (b *Broker) Learn(component, appID string, refreshToken secret.Text) {
	if b.component(component) == nil || !wechat.ValidAppID(appID) || !wechat.ValidToken(refreshToken.Reveal()) {
		return
	}
	l := lesson{component, wechat.Authorizer{AppID: appID, RefreshToken: refreshToken}, b.clock.Now()}
	select {
	case b.lessons <- l:
	default:
		b.Reconcile(component)
	}
}

// study is the body of the goroutine that stores what was learnt.
func (b *Broker) study(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-b.lessons:
			b.take(ctx, l)
		}
	}
}

func (b *Broker) take(ctx context.Context, l lesson) {
	if err := b.mergeOne(ctx, l.component, l.authorizer, l.seen); err != nil && !errors.Is(err, errUnsaved) {
		b.log.Warn("what an app's call showed of an authorizer could not be stored", "authorizer", l.authorizer.AppID, "error", err)
	}
}
