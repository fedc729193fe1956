// Package broker keeps WeChat's tokens fresh: what tokens exist, when they die,
// and who may renew them.
//
// # What there is
//
// A third-party platform (a component) is pushed a component_verify_ticket every
// ten minutes. With its secret and a ticket it gets a component_access_token. With
// that and the refresh token of a merchant's account (an authorizer) it gets an
// authorizer_access_token. A company's own account gets a stable access token for
// its AppSecret. From an account's token come the tickets for its pages, jsapi and
// wx_card. All of them live two hours.
//
//	ticket ──► component token ──┐
//	                             ├──► authorizer token ──► jsapi, wx_card ticket
//	refresh token ───────────────┘
//	AppSecret ─────────────────────► account token ──────► jsapi, wx_card ticket
//
// Each of these credentials is named by a [Key], and a [Token] of it has a
// generation that grows by one with each new value.
//
// # How a token is served and renewed
//
// [Broker.Token] finds a living token in memory (cache.go) at the price of one
// look-up. Without one it joins the wait for a renewal (serve.go, schedule.go).
// A renewal (refresh.go) takes the lock of its key, reads the store again, as
// somebody may have been faster, calls WeChat once (fetch.go), makes the answer
// durable, and only then lets memory follow (memory.go); settle.go ends it with a
// new [State] and the next date. The old token is served until the new one is
// stored. The store is the truth; what is in memory can be lost at any time.
//
// Renewals are due at three quarters of a token's life, so that an outage of half
// an hour is invisible. One goroutine schedules them, a bounded number runs at
// once, and a rate limit spreads those that nobody waits for. Renewal never
// happens on a request's behalf alone: a caller who leaves cancels nothing.
//
// [Broker.Report] says that WeChat rejected a token. It names the generation, so
// that a thousand late reports of one token cause one renewal. A call that is refused
// again with a token obtained since is at fault itself, and is remembered (faulty.go; served.go).
//
// # How a push is taken
//
// [Broker.HandlePush] makes durable what a push says before it is answered
// (push.go). Tickets wake the component's key. Authorizations wait in an inbox
// (inbox.go) until their code is exchanged (authorize.go), also after a crash.
// What no push tells is found by reading WeChat's list of authorizers
// (reconcile.go), at a cold start and every six hours.
//
// # Time
//
// All times that the broker keeps are WeChat's: our clock, which runs through
// suspend, corrected by the skew against the Date of WeChat's answers (clock/).
// Windows and margins are shares of a token's own life.
//
// # Which file
//
//	token.go       keys and tokens; account.go, state.go, entry.go (a key in memory)
//	broker.go      options, start and end; setconfig.go takes another configuration
//	serve.go       a caller's way to a token; cache.go, activate.go (from the store
//	               into memory)
//	directory.go   which account an appid is
//	schedule.go    when what is renewed
//	refresh.go     one renewal; fetch.go, refreshtoken.go and tickets.go (WeChat),
//	               verdict.go (what a failure says), settle.go (its end)
//	memory.go      store first, then memory; unsaved.go (what the store did not take),
//	               record.go and records.go (what is kept of a key), meta.go,
//	               uses.go, oldnames.go (what earlier versions wrote); store/ says what a
//	               store must do
//	push.go        what WeChat pushes; platform.go (tickets), inbox.go, authorize.go,
//	               keptexchange.go
//	attend.go      what a component needs beside pushes; reconcile.go (the list),
//	               merge.go (into what is held), doubtful.go, learn.go (what answers
//	               to apps show)
//	faulty.go      calls that WeChat refuses whatever their token
//	budget.go      how often WeChat may be asked; quota.go, outage.go
//	moveclock.go   what is timed by the clock moves with it; clock/ tells WeChat's time
//	snapshot.go    what is shown; trouble.go (what a living token hides), advice.go and
//	               errors.go (how it is worded)
//
// The package makes no API promise outside this module.
package broker
