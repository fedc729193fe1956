// Package proxy is the data path: the listener that the apps call as if it were
// api.weixin.qq.com. It adds the right token to each call, forwards it, and hides
// every token error that a fresh token cures.
//
// One call is served by one goroutine, in this order:
//
//	server.go      the listener's settings, the recover wrapper, shutdown; options.go,
//	               appconn.go, deadline.go, socket.go (socket_*.go), listeners/
//	call.go        the steps that follow, each called from there
//	expect.go      calls whose client waits to be asked for the body
//	connect.go     calls that come as CONNECT; connect_*.go
//	alias.go       calls that come by a hosts entry
//	request.go     borrowed bytes become ours; what could be read two ways is refused
//	target.go      the request target: path, query, host
//	header.go      which header lines pass; header_class.go, header_last.go (those of the call
//	               before), ascii.go, trace.go (W3C traces)
//	hosts.go       the names by which apps may call
//	params.go      the query parameters that mean something to us
//	browser.go     what web pages send is refused
//	handle.go      what apps hold in place of tokens; handle_cache.go (those verified)
//	callers.go     who may call
//	sdk.go         the endpoints that we answer ourselves or change; sdk_*.go
//	identify.go    whose call it is, and which token it takes; component.go (which of a
//	               merchant's components)
//	limits.go      how many calls at once
//	replay.go      sent once, and once more with a newer token; token.go
//	attempt.go     one attempt, and what its answer shows
//	body.go        a request's body, and what is kept of it to be sent again; body_*.go
//	inject.go      the token into the raw query (pure)
//	upstream.go    the hosts, connections to them, and their answers; upstream_*.go,
//	               dial/
//	errcode.go     the errcode in an answer; redact.go (what no answer may repeat)
//	result.go      how a call ended, counted; callers_count.go (by caller)
//	access.go      a line for each call, where that is wanted
//	errors.go      what an answer of our own looks like: status, code, errcode, shape;
//	               errors_account.go, errors_upstream.go (their words), errors_log.go
//	               (what the log says of it)
//
// What fasthttp lends us is kept nowhere: request.go and header_last.go copy it into what is
// ours until the answer is written. Nothing is allocated for a call whose token is in memory.
//
// The package makes no API promise outside this module.
package proxy
