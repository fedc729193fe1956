// Package wechattest is a working WeChat for tests, in the way of
// net/http/httptest: it serves what https://api.weixin.qq.com serves to a
// third-party platform, refuses what WeChat refuses with WeChat's errcodes, and
// has levers that make happen what happens to a platform in production: tokens
// that expire or are displaced, merchants that revoke, refresh tokens that
// rotate, connections that break, answers that are garbage.
//
// A [Server] is used in one of three ways: as an [net/http.Handler], in memory
// through [Server.Transport] (no goroutine, no timer left behind, so it works
// inside a testing/synctest bubble), or on a real listener with [Server.Start]
// and [Server.StartTLS].
//
// It is strict where a lenient fake would hide a fault: field names are compared
// by case, a token must be of the right kind and come in the right parameter
// (see [Exceptions]), a body must come with its length, and what a good client never does is kept as a violation
// (see [Server.Violations]).
//
// All times scale with [Options.TokenLife]: with tokens that live 12 seconds
// instead of two hours, a day is 144 seconds and tickets live 72.
//
// WeChat's own description is at
// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/getting_started/terminology_introduce.html
//
// The package is for tests and examples and makes no API promise outside this
// module.
package wechattest
