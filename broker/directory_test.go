package broker

import (
	"sync/atomic"
	"testing"
)

// TestDirectory_WhoCameMeanwhileIsNotUnknown has an account come between the look into
// the store, which did not find it, and the note of that.
func TestDirectory_WhoCameMeanwhileIsNotUnknown(t *testing.T) {
	key := authorizerKey("wx7f00c0de00000001", "wx00000000000000a1")
	d := directory{env: &env{epoch: &atomic.Uint64{}}}
	_, epoch := d.knownUnknown(key, noon)
	d.changed()
	d.noteUnknown(key, noon, epoch)
	if known, _ := d.knownUnknown(key, noon); known {
		t.Error("who came meanwhile is remembered as unknown")
	}
	_, epoch = d.knownUnknown(key, noon)
	d.noteUnknown(key, noon, epoch)
	if known, _ := d.knownUnknown(key, noon.Add(unknownMemory-1)); !known {
		t.Error("who is unknown is not remembered")
	}
	if known, _ := d.knownUnknown(key, noon.Add(unknownMemory)); known {
		t.Error("who is unknown is remembered for too long")
	}
}
