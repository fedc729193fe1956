package broker

import (
	"sync/atomic"
	"testing"
)

// TestSole_DroppedStaysSo has somebody find out of an entry that was dropped meanwhile that it is
// the only account of its appid.
func TestSole_DroppedStaysSo(t *testing.T) {
	e := &entry{env: &env{epoch: &atomic.Uint64{}}, key: authorizerKey("wx00000000000000a1", "wx7f00c0de00000001")}
	e.noteSole(0)
	if !e.certain(Choice{}) || !e.wasSole() {
		t.Error("the only account is not certain")
	}
	noteShared([]*entry{e})
	if e.certain(Choice{}) || e.wasSole() || !e.certain(Choice{Component: e.key.Component}) {
		t.Error("one of several is certain, or not where its component is named")
	}
	e.disown()
	e.noteSole(0)
	if e.certain(Choice{}) || e.certain(Choice{Component: e.key.Component}) || e.wasSole() {
		t.Error("what was dropped is certain")
	}
}
