// Package relay hands what WeChat pushed to the apps that the configuration names under
// events.
//
//	target.go     one app: where it is, what it wants
//	match.go      which deliveries a target wants
//	client.go     connections to targets, and to which addresses there are none
//	deliver.go    one attempt: request, reply, errors
//	sign.go       the signature of https://www.standardwebhooks.com
//
// It knows neither tokens nor WeChat's encryption, keeps nothing and tries nothing again:
// broker/outbox does that for events, and WeChat itself for messages.
//
// The package makes no API promise outside this module.
package relay
