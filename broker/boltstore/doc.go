// Package boltstore is a [store.Store] in one local file, for one sidecar.
//
// The file is a bbolt database with one bucket, "records". A value is the record's
// generation, 8 bytes big-endian, and its sealed bytes.
//
// # What it promises
//
//   - A Put that returned nil survives kill -9 and a power cut.
//   - No state of the file needs a person: an interrupted first start, repair or
//     compaction is begun again, a damaged file is moved aside and what is sound in
//     it is carried over.
//   - A damaged file never ends the process, neither at the start nor later.
//   - Only one process uses the file; a second one is refused ([ErrLocked]).
//
// # Why the file is read twice
//
// bbolt trusts its file. It maps it into memory and follows what it finds: a
// truncated file faults, a page id that leads back to an ancestor recurses until
// the stack ends, a count in the list of free pages is believed and allocated. The
// first can be caught (recover and debug.SetPanicOnFault), the others cannot. So
// the file is first read by inspect, a bounded reader of the same format, and only
// what passes is given to bbolt:
//
//   - both meta pages and their checksums, the list of free pages, all branch pages:
//     always. Every page belongs to exactly one owner.
//   - all leaf pages and, through Options.Check, every record's seal: at once if the
//     file is no larger than 32 MiB (some 60,000 records), and otherwise in the
//     background after the start, by reading the records in small pieces. A file
//     with a million records must not keep a pod from starting for seconds, and a
//     leaf page can lose no more than the records in it.
//
// The seal is the integrity check of a record: bbolt has none, and gives back a
// flipped bit as good.
//
// After that every operation runs in a guard that turns a fault of the mapping
// into an error. bbolt's locks may be held forever after such a fault, so its
// handle is given up, and the next operation opens the file again, with the same
// inspection and repair.
//
// # Repair
//
// The file's pages are read one by one. Where the metas and the list of free pages
// are sound, exactly the pages that are in use count; otherwise all that parse as
// leaf pages do, the newest generation of a name wins, and the report says that it
// is doubtful, for a record that was deleted or replaced long ago may have come
// back. The old file stays beside the new one as <path>.damaged-<date>; the rest
// comes back from WeChat.
//
// # Settings of bbolt that are not its defaults
//
//   - FreelistType: map. The array needs linear time in a large, fragmented file.
//   - NoFreelistSync stays off: without the list in the file a start reads the whole
//     file, in a goroutine of bbolt's where no one can catch a panic, and a repair
//     could not tell old pages from current ones.
//   - NoStatistics: they are a lock on every read, and nobody looks at them.
//   - Timeout is not used: the lock is taken before bbolt opens the file.
//
// Writers do not use bbolt's Batch, whose timer makes a lone writer wait. The
// first writer commits at once; those who come meanwhile are committed together
// by the next. A lone writer waits for nobody, many share an fsync.
//
// The package needs a Unix system and makes no API promise outside this module.
package boltstore
