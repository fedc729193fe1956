package broker

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// What each key in use has once stays within the sizes that the allocator has for it:
// a little more would cost calls to many keys cache misses.
func TestSizes(t *testing.T) {
	f := func(what string, size, most int, next string) {
		t.Helper()
		t.Logf("%s takes %d bytes", what, size)
		if size > most {
			t.Errorf("%s takes %d bytes, and the allocator's next size after %d is %s", what, size, most, next)
		}
	}
	f("an entry", int(unsafe.Sizeof(entry{})), 320, "352")
	f("a token with its text's place", int(unsafe.Sizeof(tokenAndText{})), 64, "80")
	f("a record of an authorizer", len(keep(&record{
		generation: 100, fence: 100, token: secret.New(strings.Repeat("t", 157)), obtained: noon, dies: noon.Add(fullLife), fullLife: fullLife,
		refreshToken: secret.New("refreshtoken@@@" + strings.Repeat("r", 43)), authorized: noon, used: noon,
	}).packed), 256, "288")
}
