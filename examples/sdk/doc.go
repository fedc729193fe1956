// Package sdk has programs that call WeChat through the sidecar with SDKs as they
// are, each in a folder of its own, and the test that runs them against a
// simulated WeChat.
package sdk
