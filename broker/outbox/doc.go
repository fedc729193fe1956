// Package outbox keeps events until apps have them.
//
//	outbox.go     Options, Open, SetTargets, and what a target is owed
//	add.go        taking an event in, and the bound
//	record.go     an event as the store has it
//	queue.go      what is owed to a target, by merchant, in order
//	run.go        when an attempt is due
//	attempt.go    one attempt and what its outcome means
//	dead.go       events that could not be delivered: kept, listed, queued again
//
// and where several sidecars share the store:
//
//	deliverer.go  which one delivers
//	place.go      taking an event in, in one order for all, once
//	follow.go     what is not known of what the others did
//	mirror.go     reading that, and putting back what the store lost
//
// # What it promises
//
//   - An event whose Add returned nil is delivered at least once to each target that wants it,
//     also after a crash at any point, or becomes a dead letter. Whatever is delivered a second
//     time has the same ID.
//   - A target gets the events of one merchant in the order of their Adds, one at a time.
//     Targets do not wait for each other, nor merchants for each other.
//   - After a failure the next attempt comes in 1, 2, 4 … 600 seconds. An attempt that
//     fails 24 hours after the event was added is the last one.
//   - What it holds is bounded. At the bound the oldest dead letters make room, each with a
//     line in the log; where there are none, Add fails.
//
// # What a target is owed
//
// An event is owed to each target that wants it by the configuration in force and has not had it. It
// is done once at least one target has had it and none is owed it. So a change of targets
// loses nothing: an app that moved to another URL gets there what it had not got at the old
// one, and an event that no target wants any more waits for one until it is a dead letter.
//
// # Several sidecars
//
// Where the store is a [store.Shared], each outbox that has it takes events in, knows what waits
// by the store's news, and shows and redelivers the dead letters of all. One delivers: who holds
// the lease. It is one for all targets, as one sidecar can easily deliver what WeChat pushes. When it dies
// another goes on within the lease, 20 seconds, and five more; when it stops in order, within five.
//
// The promises above hold for all together, whatever the sidecars' clocks say. The next deliverer
// repeats what was under way when the last one died. An event that is added on
// two sidecars waits once, and for a day it is remembered that an app has it. While the store does not answer,
// Add fails, and an attempt begins only while no other sidecar can have the lease. What a failover of the store
// loses the deliverer puts back, and what is lost when it is emptied all of them do, so that what was
// delivered just before can come again. Dead letters are lost then: these are in the store alone.
//
// The package makes no API promise outside this module.
package outbox
