package boltstore

import (
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// ReleaseMemory gives back what of the file is in the process's memory: bbolt maps it, so
// that every page that was ever looked at counts as the process's own. The system keeps
// them in its cache, and the next look has one back within a microsecond. It does nothing
// for a store that is closed or has faulted.
func (s *Store) ReleaseMemory() {
	_ = s.cur.Load().view(func(b *bbolt.Bucket) error { // in a transaction bbolt maps nothing anew
		tx := b.Tx()
		// It is advice: whatever the system says to it, nothing is lost.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		return nil
	})
}
