// Package push is the listener that WeChat calls. It takes authorization events
// (the ten-minute ticket, authorizations given, changed and taken back), verifies
// and decrypts them and hands them to the broker.
//
// It faces the internet. Whatever is wrong with a request, the answer is the same: 403
// with no body, and the connection is closed; the cause is in wxsidecar_pushes_total
// and, where it may have been WeChat's, in the log. An accepted
// push is answered 200 with the body success, which WeChat takes for the receipt,
// and only once the broker has made it durable. When the broker cannot, the answer
// is 500 and WeChat sends the push again.
//
// Plain HTTP is spoken here; TLS ends in front of it. fasthttp parses the heads; its
// server would hold a buffer for each connection and the beginning of each body before
// a line of ours runs. So connections are served here: what waits holds the bytes that
// came and no more, and what needs no body is refused before it is read.
//
// House rules: request.go alone touches the bytes that fasthttp lends; what it
// returns is owned. No log line and no answer holds any part of a push but its
// InfoType and appids.
//
// See https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/message_push.html
//
// The package makes no API promise outside this module.
package push
