// Package wechat calls the token APIs of WeChat's open platform and reads what
// its pushes say. It knows WeChat's paths, field names and error codes; it holds
// no state of its own but connections, and decides nothing.
//
// Of an answer only the fields that are needed are read, and those leniently
// (repair.go, read.go): numbers as strings or with a fraction, a byte order mark, raw
// control characters and wrong escapes in texts; an item of the list that cannot be
// read is skipped and counted. What decides is strict: the answer is whole, errcode
// absent or 0, no needed field there with two values, tokens of a sane form, and
// expires_in between 1 and 86400 seconds. Everything else is an error, so that a broken
// answer never replaces a good token.
//
// Three errors tell what happened: [APIError] is WeChat's own refusal,
// [NoAnswerError] means that nothing came back (refused, timed out, TLS), and
// [BadAnswerError] that what came back cannot be used. None of them ever holds a
// token, a secret or a URL with one.
//
// The package makes no API promise outside this module.
package wechat
