// Package boltstore is a [store.Store] in one local file, for one sidecar.
//
// The file is a bbolt database with one bucket, "records". A value is the record's
// generation, 8 bytes big-endian, and its sealed bytes.
//
// # What it promises
//
//   - A Put that returned nil survives kill -9 and a power cut.
//   - No state of the file needs a person: an interrupted first start, repair or
//     compaction is begun again, a damaged file is moved aside and what bbolt can
//     still read of it is carried over.
//   - A damaged file does not end the process, neither at the start nor later. What
//     is left of that is named under "Guard".
//   - Only one process uses the file; a second one is refused ([ErrLocked]).
//
// # Why another process reads the file first
//
// bbolt trusts its file. It maps it into memory and follows what it finds: a
// truncated file faults, a page that leads back to an ancestor recurses until the
// stack ends or takes all memory, a number of pages is believed and counted up to.
// Its check of the file does so in a goroutine where no one can catch a panic. So
// before a file is used, the program starts itself once more ([os/exec], a few
// milliseconds), and that child has bbolt open and check the file, with a small
// stack, a limit on its memory, and no key. How it ends is the verdict. It inherits
// the open file with its lock, and ends with its parent. A start takes 12 ms longer
// by it with 100,000 records, 140 ms with a million, and a second or so more if the
// file of a million has to come from the disk.
//
// Where no process can be started (a sandbox without execve) a warning says so, and
// the file is used unchecked.
//
// The check covers all that bbolt needs to read and write without harm: that every
// page has one owner, the list of free pages, the order of names. Records are checked
// by their seal, through Options.Check, since bbolt gives back a flipped bit as good:
// at once if the file is no larger than 32 MiB (some 40,000 records), and otherwise
// in the background after the start, in small pieces. Neither sees a leaf page whose
// count of records became smaller: those are missing, and come back from WeChat. Nor
// does either see a name in the tree that became another one in the right order: then
// bbolt may write a tree that is out of order, which the next start finds.
//
// One bad meta page is no damage: it is what a power cut in the middle of a commit
// leaves. bbolt goes on with the other one, the state before that commit.
//
// # Guard
//
// After that every operation runs in a guard that turns a fault of the mapping into
// an error. bbolt's locks may be held forever after such a fault, so its handle is
// given up, and the next operation opens the file again, with the same check and
// repair. Only a file that is damaged while it is in use, so that a page of the tree
// leads back to an ancestor or says that it continues over millions of pages, can
// still end the process; the next start repairs it.
//
// # Repair
//
// A child has a cursor of bbolt's pass the records from the first on, and a second
// one from the last on, each until it ends, faults or leaves the order of names. So
// both sides of a bad page are kept. What they read goes into a new file, except
// records whose seal is broken. The old file stays beside the new one as
// <path>.damaged-<date>; the rest comes back from WeChat. With a wrong key, when no
// record opens, nothing is touched.
//
// # Settings of bbolt that are not its defaults
//
//   - FreelistType: map. The array needs linear time in a large, fragmented file.
//   - NoFreelistSync stays off: without the list in the file a start reads the whole
//     file, in a goroutine of bbolt's where no one can catch a panic.
//   - NoStatistics: they are a lock on every read, and nobody looks at them.
//   - Timeout is not used: the lock is taken before bbolt opens the file.
//
// Writers do not use bbolt's Batch, whose timer makes a lone writer wait. The
// first writer commits at once; those who come meanwhile are committed together
// by the next. A lone writer waits for nobody, many share an fsync.
//
// The package needs a Unix system and makes no API promise outside this module.
package boltstore
