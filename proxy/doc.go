// Package proxy is the data path: the listener that the apps call as if it were
// api.weixin.qq.com. It adds the right token to each call, forwards it, and hides
// every token error that a fresh token cures.
//
// One call is served by one goroutine, in this order:
//
//	server.go     the listener's settings, the recover wrapper, shutdown; options.go,
//	              appconn.go, listeners/
//	call.go       the steps that follow, each called from there
//	expect.go     calls whose client waits to be asked for the body
//	connect.go    calls that come as CONNECT; connect_*.go
//	alias.go      calls that come by a hosts entry
//	request.go    borrowed bytes become ours; what could be read two ways is refused
//	target.go     the request target: path, query, host
//	header.go     which header lines pass
//	browser.go    what web pages send is refused
//	handle.go     what apps hold in place of tokens
//	callers.go    who may call
//	sdk.go        the token endpoints that we answer ourselves; exchange.go, login.go,
//	              mask.go
//	account.go    whose call it is, and which token it takes
//	limits.go     how many calls at once
//	forward.go    the token, one attempt, the replay; waiting.go
//	body.go       where a request's body comes from, and how it is sent
//	keep.go       what is kept of it, to be sent again
//	inject.go     the token into the raw query (pure)
//	upstream.go   hosts.go, dial/, pool.go, roundtrip.go, conn.go, quiet.go,
//	              hungup_linux.go, loop.go: the outside
//	answer.go     errcode.go, hidden.go: what came back, looked at and passed on
//	result.go     how a call ended, counted
//	errors.go     what an answer of our own looks like: status, code, errcode, shape;
//	              errors_account.go, errors_upstream.go (their words), refusal.go (what
//	              the log says of it)
//
// Only request.go reads what fasthttp lends us, into a request that is ours until
// the answer is written. Nothing is allocated for a call whose token is in memory.
//
// The package makes no API promise outside this module.
package proxy
