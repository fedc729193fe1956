// Package push is the listener that WeChat calls. It takes authorization events
// (the ten-minute ticket, authorizations given, changed and taken back), verifies
// and decrypts them and hands them to the broker. It takes the messages of accounts' users as
// well, hands each to an app once, and seals the app's reply.
//
// It faces the internet. Whatever is wrong with a request, the answer is the same: 403
// with no body, and the connection is closed; the cause is in wxsidecar_pushes_total
// and, where it may have been WeChat's, in the log. An accepted
// push is answered 200 with the body success, which WeChat takes for the receipt,
// and only once the broker has made it durable. When the broker cannot, the answer
// is 500 and WeChat sends the push again. A message that the app does not reply to in time is
// answered success too: WeChat would show its user an error otherwise.
//
// Several servers may share a memory (claims.go): then WeChat's repeat of an event or a message is
// known to all of them, whichever a load balancer gives it to.
//
// The two pages on which merchants authorise are served beside the pushes, by
// Options.Pages. They have limits of their own, and their connections are closed like those
// of strangers, so that visitors take nothing from WeChat.
//
// It serves plain HTTP; TLS is terminated in front of it. fasthttp parses the heads, but
// its server would hold a buffer for each connection, and the beginning of each body,
// before our code runs. So the package serves connections itself: one that waits holds only
// the bytes that came, and what can be refused without its body is refused before that is
// read.
//
// Only request.go reads fasthttp's buffers; what it returns is owned. No log line and no
// answer has any part of a push but its InfoType, MsgType, Event and appids, and an answer the
// app's reply.
//
// See https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/message_push.html
//
// The package makes no API promise outside this module.
package push
