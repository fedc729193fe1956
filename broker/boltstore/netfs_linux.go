package boltstore

import (
	"os"

	"golang.org/x/sys/unix"
)

// networkFS has the numbers by which statfs(2) tells file systems whose locks and
// mappings do not hold between hosts.
var networkFS = map[int64]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB",
	unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.CEPH_SUPER_MAGIC: "Ceph",
	unix.V9FS_MAGIC:       "9P",
}

func (o *opener) warnNetwork(f *os.File) {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return
	}
	if kind, ok := networkFS[int64(st.Type)]; ok {
		o.Log.Warn("the store file is on a network file system, where its lock may not keep another host out; use a local disk",
			"file", o.Path, "file_system", kind)
	}
}
