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
// # The parts
//
// [Broker] owns the parts and hands each to those that need it. Each owns what it guards.
// They know each other in one direction; a test holds that by the names of the files.
//
//	table       the keys in use: tokens, conditions, queues, who waits for whom
//	ledger      the records behind the store, and what the store did not take
//	directory   which account an appid is, and of which components
//	component   one platform: its tickets, and the list of its authorizers
//	inbox       authorizations that wait for the exchange of their code
//	renewer     one renewal: what WeChat is asked, and what its answer means
//	replicas    the other sidecars on the same store: memory follows what they do
//
// table and ledger know nobody. directory uses both, component uses directory as well,
// inbox and renewer use all of these, and replicas as well.
//
// [Importer] stands beside them: a verb puts into the ledger what another system held.
//
// # How a token is served and renewed
//
// [Broker.Token] finds a living token in memory at the price of one look-up
// (token_wait.go, cache.go). Without one it brings the key into use (directory_load.go)
// and waits (table_wait.go) for a renewal, which is scheduled at once (table_queue.go).
//
// A renewal (renew.go) reads the record again, as somebody may have been faster, calls
// WeChat once, and makes the answer durable; then memory follows (ledger.go). Its outcome
// (failure.go says what an error means) ends in one place, the table's change
// (table_change.go): the key's condition moves on (state.go), it is scheduled anew, and
// those who wait are told. Whatever else happens to a key, a ticket, an authorization, an
// operator's word, takes the same way. The old token is served until the new one is
// stored. The store is the truth; what is in memory can be lost at any time.
//
// Renewals are due at three quarters of a token's life, so that an outage of half
// an hour is invisible. One goroutine schedules them, a bounded number runs at
// once, and a rate limit spreads those that nobody waits for. Renewal never
// happens on a request's behalf alone: a caller who leaves cancels nothing.
//
// [Broker.Report] says that WeChat rejected a token. It names the generation, so
// that a thousand late reports of one token cause one renewal (table_report.go). A call
// that is refused again with a token obtained since is at fault itself, and is remembered.
//
// # Several sidecars on one store
//
// Where the store is a store.Shared, a renewal takes the lease of its key first
// (renew_turn.go), and its commit carries the lease's fence: of two that were made all the
// same the one with the newer lease wins, and the key is renewed once more soon, as nobody
// knows in which order WeChat did them. What others change is news (replicas.go): memory
// follows at once, and puts back what the store has lost. While the store does not answer,
// living tokens are served, and a token is renewed without the others only in its last
// twelfth, by the sidecar that obtained it, or once it is dead or rejected.
//
// # How a push is taken
//
// [Broker.HandlePush] makes durable what a push says before it is answered. Tickets go to
// their component (component_tickets.go). Authorizations wait in the inbox until their
// code is exchanged, also after a crash. What was taken back goes at once
// (directory_revoke.go). What no push tells is found by reading WeChat's list of
// authorizers, at a cold start and every six hours (component_list.go).
//
// # Time
//
// All times that the broker keeps are WeChat's: our clock, which runs through
// suspend, corrected by the skew against the Date of WeChat's answers (clock/).
// Windows and margins are shares of a token's own life.
//
// # Which file
//
//	key.go token.go account.go errors.go   what callers see
//	state.go advice.go why.go              the states of a key, and how they are worded
//	record.go record_edit.go               what is kept of a key, and every edit of it;
//	                                       record_status.go (how one is that is not in use);
//	                                       record_kept.go (as memory holds it)
//	due.go backoff.go                      when to renew, and when to try again
//	budget.go breaker.go                   how often WeChat may be asked
//	faulty.go served.go                    what apps' calls showed of a key
//	keylocks.go env.go coordination.go     what several parts use
//	broker.go broker_*.go                  start and end, configuration, pushes, housekeeping;
//	                                       broker_admin.go, broker_admin_store.go,
//	                                       broker_accounts.go (for operators)
//	token_wait.go                          the hit and the wait
//	entry.go cache.go instant.go           a key in memory, its times, and how it is found
//	entry_sole.go known.go                 an account in memory that need not be looked up again
//	table.go table_*.go                    change, finish, queue, call, wait, report, quota, outage,
//	                                       clock, drop, uses, status, accounts, overview,
//	                                       forced, replicas, entries
//	ledger.go ledger_*.go                  records, accounts, merge (the list), uses, unsaved,
//	                                       meta, oldnames, replicas; store/ says what a store must do
//	directory.go directory_*.go            account, only, load, revoke
//	component.go component_*.go            set, record, tickets, list, read (the list), status
//	inbox.go inbox_*.go                    take, recover; exchange.go, exchange_kept.go
//	renew.go renew_*.go failure.go         turn, component, authorizer; what an error means
//	replicas.go                            following what other sidecars on the store do
//	import.go import_*.go                  write, merge: taking over what another system held
//
// The package makes no API promise outside this module.
package broker
