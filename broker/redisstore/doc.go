// Package redisstore is a [store.Shared] in Redis, for several sidecars of one platform.
//
// It speaks to a single server, to a primary that Sentinels watch, and to a Cluster (package
// redisurl has the URLs), of Redis 6.2 or later, or Valkey. The client is rueidis: connections,
// topology and what the server pushes are its business; leases, compare-and-set and the
// keys are ours (scripts.go).
//
// # Keys
//
// All keys of a store begin with one hash tag, here of the default prefix, and so lie in one slot
// of a Cluster: several records change in one script or not at all. One slot bears the load of
// hundreds of sidecars, as records are read from memory and written some times a day; a Cluster is
// for availability here.
//
//	{wxsidecar}:r:NAME   hash, one record: g generation, d digest (its revision), f fence, b the sealed
//	                     content, w who wrote it, o the version that the write was made from
//	{wxsidecar}:names    sorted set of all names, score 0: List goes along it
//	{wxsidecar}:changes  stream of the last 16,384 changes or so: n name, c came, went or put, w who
//	{wxsidecar}:id       random text, made by whoever finds none: another one, and the store was emptied
//	{wxsidecar}:fence    counter: the greatest fence given, of the size of the time in microseconds
//	{wxsidecar}:peers    sorted set of who uses the store: when each announced itself last (scripts.go)
//	{wxsidecar}:l:NAME   a lease, which ends by itself: its owner and fence
//	{wxsidecar}:m:NAME   a value of [store.Memory], which ends by itself
//
// Times to live are relative, so no sidecar's clock matters. That of Redis keeps fences from being
// given again after a loss; while nothing is lost, it may jump. Leases that Redis has lost are given
// again; that costs a renewal, not a token, since [store.Store.Put] compares.
//
// # Faults
//
// Each operation ends within 1.5 seconds, and earlier if its context does. Reads, and scripts
// that may run twice unharmed (see scripts.go), are tried again until then, through failovers and
// redirections; a Replace is sent once.
//
// What others change is pushed: Redis tells each connection when the stream changes (client
// tracking, RESP3), and the stream is then read from the entry read last (watch.go). No push is
// needed for correctness: the stream is also read every 15 seconds. Where the entry read last is
// gone, or one of our own is missing (own.go), Redis has lost acknowledged writes, and where the id
// is another, all of them: then everything is to be compared with what the store holds.
//
// The package makes no API promise outside this module.
package redisstore
