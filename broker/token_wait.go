package broker

import "context"

// Token returns a living token of key. With one in memory it takes no lock of the
// broker's, and costs no I/O and no allocation. Without one it waits for a renewal until
// ctx ends, at most Options.Wait, and then returns a *StateError. ctx must not be a
// request's own memory: it may be looked at after the caller has left.
func (b *Broker) Token(ctx context.Context, key Key) (*Token, error) {
	if e := b.table.cache.get(&key); e != nil {
		if t := e.hit(); t != nil {
			return t, nil
		}
	}
	b.env.metrics.CacheRequest(false)
	return b.TokenAfter(ctx, key, 0)
}

// TokenAfter is [Broker.Token] for a caller whose token of that generation WeChat
// has just rejected: it waits for the next one, and does not give the rejected one
// again, unless WeChat itself has said meanwhile that it is the one (stable_token
// does so). A *StateError says why there is no other in time.
func (b *Broker) TokenAfter(ctx context.Context, key Key, generation uint64) (*Token, error) {
	return b.directory.tokenAfter(ctx, key, generation)
}

// Report says that WeChat refused a call that carried generation of key. If that
// generation is still in force a renewal starts and TokenAfter waits for it; if not,
// nothing happens. It returns false when the token will not be replaced now: forced
// renewals came too close together, or the call is at fault and not its token. It does
// not block.
func (b *Broker) Report(key Key, generation uint64, r Refusal) bool {
	return b.table.report(key, generation, r)
}
