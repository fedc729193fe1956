// Package redistest starts real Redis servers for tests, on loopback: a single one ([Start]), one
// primary and two replicas with three Sentinels ([StartSentinel]), a cluster of six
// ([StartCluster]). Its [Link] stands between a client and a server and spoils what passes.
//
// The servers are Debian's redis-server, found by PATH. Each has a folder of the test's and a
// port of its own, ends with the test, and shows the end of its log if the test failed. Levers
// return once their effect is seen; none of them sleeps. What follows from them a test waits for
// with [Await].
//
// What a lever cannot do fails the test at once, so all but [Server.Do] and the levers of [Link]
// are for the test's own goroutine.
//
// The package is for tests only and makes no API promise outside this module.
package redistest
