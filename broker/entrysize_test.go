package broker

import (
	"testing"
	"unsafe"
)

// What each key in use has once stays within the sizes that the allocator has for it:
// a little more would cost calls to many keys cache misses.
func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(entry{}); size > 288 {
		t.Errorf("an entry takes %d bytes, and the allocator's next size is 320", size)
	}
	if size := unsafe.Sizeof(Token{}); size > 80 {
		t.Errorf("a token takes %d bytes, and the allocator's next size is 96", size)
	}
}
