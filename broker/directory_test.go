package broker

import "testing"

// TestDirectory_WhoCameMeanwhileIsNotUnknown has an account come between the look into
// the store, which did not find it, and the note of that.
func TestDirectory_WhoCameMeanwhileIsNotUnknown(t *testing.T) {
	const appID = "wx00000000000000a1"
	var d directory
	_, epoch := d.knownUnknown(appID, noon)
	d.changed()
	d.noteUnknown(appID, noon, epoch)
	if known, _ := d.knownUnknown(appID, noon); known {
		t.Error("who came meanwhile is remembered as unknown")
	}
	_, epoch = d.knownUnknown(appID, noon)
	d.noteUnknown(appID, noon, epoch)
	if known, _ := d.knownUnknown(appID, noon.Add(unknownMemory-1)); !known {
		t.Error("who is unknown is not remembered")
	}
	if known, _ := d.knownUnknown(appID, noon.Add(unknownMemory)); known {
		t.Error("who is unknown is remembered for too long")
	}
}
