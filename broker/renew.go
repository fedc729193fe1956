package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// renewalTimeout bounds one renewal, all its calls together.
const renewalTimeout = 45 * time.Second

// renewer makes the renewals that the table starts: lock, read the store again, call
// WeChat, save. It is safe for concurrent use.
type renewer struct {
	*env
	table      *table
	ledger     *ledger
	directory  *directory
	components *components
	tasks      sync.WaitGroup
}

// outcome is what came of one renewal.
type outcome struct {
	event
	result string // the metric's label
	// unanswered is set where nobody answered.
	unanswered *wechat.NoAnswerError
	// unchanged: WeChat gave the token that is in force once more.
	unchanged bool
	// due is when the next renewal is wanted, no sooner than the condition allows; zero leaves it
	// to that.
	due time.Time
	// blockedOn is the key that must have a token first.
	blockedOn Key
}

// begin starts one renewal of e. It does not end with ctx: a renewal under way is brought
// to its end, as WeChat may have replaced the token already.
func (n *renewer) begin(ctx context.Context, e *entry) {
	held := e.token.Load()
	n.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalTimeout)
		defer cancel()
		out := n.renew(ctx, e, held)
		n.metrics.Renewal(e.key.Kind.Label(), out.result)
		n.table.finish(e, out)
	})
}

// renew is one renewal of e, which showed the token held when it began.
func (n *renewer) renew(ctx context.Context, e *entry, held *Token) outcome {
	n.checkpoint("renewal-begin")
	t, out := n.take(ctx, e)
	if out != nil {
		return *out
	}
	defer t.lease.Unlock()
	n.checkpoint("renewal-locked")
	rec, newer := n.ledger.reread(ctx, e.key, &e.saved)
	if out := n.adopted(e, rec, newer || n.followedSince(e, held)); out != nil {
		return *out
	}
	if reason, wait := n.table.overBudget(e); reason != "" {
		return outcome{event: event{
			kind: eventQuota, reason: reason, errcode: wechat.CodeQuotaExhausted, wait: wait,
		}, result: "over_budget"}
	}
	n.checkpoint("renewal-sending")
	sent := n.clock.Local()
	g, err := n.fetch(ctx, e, rec, t)
	if err != nil {
		return n.keepVerdict(e, rec, n.judge(ctx, e, rec, n.failed(e, err)))
	}
	if t.solo {
		n.coordination.noteSolo(e.key, n.clock.Local())
	}
	n.checkpoint("renewal-answered")
	skew, _ := n.clock.Offset()
	return n.save(ctx, e, rec, g, sent.Add(skew), t.lease.Fence())
}

// fetch asks WeChat for a new token of e. Nothing is stored.
func (n *renewer) fetch(ctx context.Context, e *entry, rec *record, t turn) (wechat.Grant, error) {
	switch e.key.Kind {
	case KindComponent:
		return n.fetchComponent(ctx, e, t)
	case KindAuthorizer:
		return n.fetchAuthorizer(ctx, e, rec, t)
	case KindAccount:
		return callInTurn(ctx, t, func(ctx context.Context) (wechat.Grant, error) {
			// By force once WeChat has given the same token back although calls with it are
			// refused.
			return n.wechat.StableToken(ctx, e.key.AppID, n.config.Load().secrets[e.key], n.table.mayForceRefresh(e))
		})
	default:
		return n.fetchTicket(ctx, e, t)
	}
}

// fetchTicket asks for a ticket for pages with the account's token.
func (n *renewer) fetchTicket(ctx context.Context, e *entry, t turn) (wechat.Grant, error) {
	account, err := n.directory.pageAccount(ctx, e.key)
	if err != nil {
		return wechat.Grant{}, err
	}
	kind := "jsapi"
	if e.key.Kind == KindWXCardTicket {
		kind = "wx_card"
	}
	return withToken(n.table, account, "getticket "+kind, func(token secret.Text) (wechat.Grant, error) {
		return callInTurn(ctx, t, func(ctx context.Context) (wechat.Grant, error) { return n.wechat.Ticket(ctx, token, kind) })
	})
}

// save makes a new token durable, then visible. If the store does not take it, it
// is served from memory and saving goes on being tried. Of two sidecars that renewed the key
// at once the one whose lease is newer wins, and both have it renewed again soon.
func (n *renewer) save(ctx context.Context, e *entry, base *record, g wechat.Grant, obtained time.Time, fence uint64) outcome {
	var result string
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	rejected := n.table.isRejected(e, base.generation)
	n.checkpoint("renewal-saving")
	saved, err := n.ledger.update(ctx, e.key, func(r *record) bool {
		if result = resultOf(r, base, g.Token, fence); result == "fenced" || result == "late" {
			return false
		}
		r.fill(g, obtained, e.lastUsed())
		r.fence = max(r.fence, fence)
		r.forced = n.table.forcedOf(e, r.forced)
		return true
	})
	n.checkpoint("renewal-saved")
	unsaved := errors.Is(err, errUnsaved)
	if err != nil && !unsaved {
		return n.failed(e, err)
	}
	switch result {
	case "late":
		return n.overtaken(e, saved)
	case "fenced":
		n.coordination.count(fenced)
		out := n.overtaken(e, saved)
		return n.converging(e, out, result)
	}
	if base.verdict == StateUnauthorized {
		n.directory.changed() // it is back
	}
	if result == "renewed" && rejected {
		n.noteOutside(e)
	}
	n.ledger.noteWrote(e.key, saved.token)
	out := n.renewed(e, saved, result)
	switch {
	case unsaved:
		out.result = "unsaved"
	case result == "contested":
		n.coordination.count(contested)
		out = n.converging(e, out, result)
	}
	return out
}

// resultOf says what becomes of a token that was obtained under the lease of fence from base, where
// r is the record in force.
func resultOf(r, base *record, token secret.Text, fence uint64) string {
	switch {
	case r.contestedSince(base, fence) && !r.token.Equal(token):
		return "contested"
	case r.fencedSince(base, fence):
		return "fenced"
	case r.overtakes(base):
		return "late"
	case r.token.Equal(token):
		return "unchanged"
	default:
		return "renewed"
	}
}

// noteOutside notes that WeChat rejected a token which no sidecar on this store had replaced.
func (n *renewer) noteOutside(e *entry) {
	n.metrics.OutsideRenewal(e.key.Kind.Label())
	n.log.Warn("WeChat rejected a token before its end although no sidecar on this store had renewed it: something else renews it too, "+
		"most likely a second sidecar with a store of its own, or a program that fetches its own tokens; "+
		"let all sidecars share one store, and let programs call through them", "key", e.key.String())
}

// converging has a key renewed again soon that two sidecars renewed at once.
func (n *renewer) converging(e *entry, out outcome, result string) outcome {
	n.log.Warn("two sidecars renewed a token at once; it is renewed again within two minutes", "key", e.key.String(), "result", result)
	out.result = result
	if out.kind == eventRenewed {
		out.due = n.table.convergeAt(e)
	}
	return out
}

// renewed is the outcome of a renewal that went well.
func (n *renewer) renewed(e *entry, rec *record, result string) outcome {
	unchanged := result == "unchanged"
	return outcome{event: event{kind: eventRenewed}, result: result, unchanged: unchanged, due: n.table.renewed(e, rec.fullLife, unchanged)}
}
