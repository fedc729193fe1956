package language_test

import (
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/language"
)

func TestPreferred(t *testing.T) {
	f := func(accept, want string) {
		t.Helper()
		if got := language.Preferred(accept); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
	f("", language.English)
	f("fr", language.English)
	f("ZH-tw", language.Chinese)
	f("en;q=0.5, zh;q=0.9", language.Chinese)
	f("zh;q=0.1,en", language.English)
	f("fr, zh;q=0.2", language.Chinese)
	f("zh;q=0", language.English)
	f("zh;q=x, en;q=nan", language.English)
	f("zh,en", language.Chinese)
	f("en,zh", language.English)
}
