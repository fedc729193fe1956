// Package routes knows, for each path of api.weixin.qq.com, whose token a call
// carries and under which name: the catalogue routes.tsv, two rules for prefixes,
// and a default.
//
// The default is the account's own token (an authorizer's, or that of an own
// account) in the query parameter access_token. The exceptions are few, and a
// wrong guess is what they guard against: a user's token that is replaced, or a
// component's token that reaches a merchant's API, is an error that the app
// cannot cure.
//
// routes.tsv has a row for each path, sorted by path: path, kind, parameter,
// answer (json, or json_or_binary where success is a picture or a file; for people
// only, since all answers are treated alike), and the page that documents it, below
// https://developers.weixin.qq.com/ unless it is spelled out. Where the query's
// action decides, there is a row for each action that differs, path?action=name,
// below that of the path.
//
// The package is pure and makes no API promise outside this module.
package routes
