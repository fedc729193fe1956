package authorize

import (
	"maps"
	"slices"
	"testing"
)

// What one language has a word for, the other has too.
func TestWords_BothLanguages(t *testing.T) {
	if a, b := sorted(english.accounts), sorted(chinese.accounts); !slices.Equal(a, b) || !slices.Equal(a, authTypes) {
		t.Errorf("accounts: %q in English, %q in Chinese, want %q", a, b, authTypes)
	}
	if a, b := sorted(english.failures), sorted(chinese.failures); !slices.Equal(a, b) {
		t.Errorf("failures: %q in English, %q in Chinese", a, b)
	}
	if a, b := sorted(english.rightNames), sorted(chinese.rightNames); !slices.Equal(a, b) {
		t.Errorf("rights: %v in English, %v in Chinese", a, b)
	}
	for _, w := range []*words{&english, &chinese} {
		for name, f := range w.failures {
			if f.title == "" || f.text == "" {
				t.Errorf("%s: %s has no title or no text", w.tag, name)
			}
		}
	}
}

func sorted[K interface{ ~int64 | ~string }, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
