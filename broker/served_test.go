package broker

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// TestToken_Settled has a call need not say that WeChat took its token, where that is known; what
// changes that has the next call say it again.
func TestToken_Settled(t *testing.T) {
	e := &entry{}
	tok := newToken(e, secret.New("t"), 3, noon, noon.Add(time.Hour))
	f := func(what string, want bool) {
		t.Helper()
		if tok.Settled() != want {
			t.Errorf("%s: settled %v", what, !want)
		}
	}
	f("at first", false)
	tok.Served([]byte("/x"), false)
	f("once a call was served", true)
	e.calls.served.refused(3)
	f("once one was refused", false)
	tok.Served([]byte("/x"), false)
	f("once another was served", true)
	e.calls.faulty.found("/y", noon, noon.Add(time.Second), time.Hour)
	f("while a call is remembered as faulty", false)
	if newToken(e, secret.New("u"), 4, noon, noon.Add(time.Hour)).Settled() || !(*Token)(nil).Settled() {
		t.Error("a new token is settled, or none is not")
	}
}
