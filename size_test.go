package main

import (
	"os"
	"testing"
)

// maxBinary leaves room for the other files of the image, which stays under 16 MB as a whole.
const maxBinary = 15_630_000

func TestBinary_StaysSmall(t *testing.T) {
	file, err := os.Stat(mustBuild(t, shippedBuild))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", file.Size())
	if file.Size() >= maxBinary {
		t.Errorf("the shipped program has %d bytes; it must stay under %d.\n"+
			"docs/development.md says how to see what takes the room, and what has been done before.", file.Size(), maxBinary)
	}
}
