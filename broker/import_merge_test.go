package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

func TestImportRefreshToken(t *testing.T) {
	t.Parallel()
	// What a record is after an item, as far as an import concerns it.
	type after struct {
		Refresh, Spare string
		Generation     uint64
		Verdict        State
		Changed        bool
	}
	f := func(what string, r record, item ImportItem, want ImportResult, then after) {
		t.Helper()
		result, changed := r.importRefreshToken(item)
		got := after{r.refreshToken.Reveal(), r.spare.Reveal(), r.generation, r.verdict, changed}
		if diff := cmp.Diff(then, got); diff != "" || result != want {
			t.Errorf("%s: %s, want %s (-want +got):\n%s", what, result, want, diff)
		}
	}
	item := ImportItem{Component: "wxc", AppID: "wxa", Value: secret.New("old")}
	dated := func(at time.Time) ImportItem { i := item; i.At = at; return i }
	shown := func(value string, at time.Time) ImportItem {
		i := dated(at)
		i.Value, i.Listed = secret.New(value), noon
		return i
	}
	before, later := noon.Add(-time.Hour), noon.Add(time.Hour)
	ours := record{generation: 7, refreshToken: secret.New("ours"), obtained: noon, authorized: before}
	with := func(edit func(*record)) record { r := ours; edit(&r); return r }

	f("nothing there", record{}, item, ImportNew, after{"old", "", 1, StateUnknown, true})
	f("damaged", record{generation: 7, unreadable: true}, item, ImportNew, after{"old", "", 8, StateUnknown, true})
	f("forgotten", record{generation: 7}, item, ImportNew, after{"old", "", 8, StateUnknown, true})
	f("void, and none left", record{generation: 7, verdict: StateNeedsAuthorization, judged: noon}, item, ImportNew, after{"old", "", 8, StateUnknown, true})
	f("the same", with(func(r *record) { r.refreshToken = item.Value }), item, ImportHeld, after{"old", "", 7, StateUnknown, false})
	f("the same as the spare", with(func(r *record) { r.spare = item.Value }), item, ImportHeld, after{"ours", "old", 7, StateUnknown, false})
	f("WeChat's", ours, item, ImportKept, after{"ours", "old", 7, StateUnknown, true})
	f("WeChat's, and a spare", with(func(r *record) { r.spare = secret.New("s") }), item, ImportKept, after{"ours", "s", 7, StateUnknown, false})
	f("WeChat's, and it is older", ours, dated(before), ImportKept, after{"ours", "old", 7, StateUnknown, true})
	f("WeChat's, of that time", ours, dated(noon), ImportKept, after{"ours", "old", 7, StateUnknown, true})
	f("authorised since", ours, dated(later), ImportReplaces, after{"old", "ours", 8, StateUnknown, true})
	f("from the list", record{generation: 1, refreshToken: secret.New("ours"), authorized: noon}, dated(noon), ImportKept, after{"ours", "old", 1, StateUnknown, true})
	f("imported before", record{generation: 1, refreshToken: secret.New("first")}, item, ImportReplaces, after{"old", "first", 2, StateUnknown, true})
	f("refused", with(func(r *record) { r.judge(StateNeedsAuthorization, noon, "x", 61023) }), item, ImportReplaces, after{"old", "ours", 8, StateUnknown, true})
	f("refused, and it is that", with(func(r *record) { r.refreshToken = item.Value; r.judge(StateNeedsAuthorization, noon, "x", 61023) }), item,
		ImportHeld, after{"old", "", 7, StateNeedsAuthorization, false})
	gone := record{generation: 7, verdict: StateUnauthorized, judged: noon}
	f("taken back", gone, item, ImportGone, after{"", "", 7, StateUnauthorized, false})
	f("taken back after that", gone, dated(before), ImportGone, after{"", "", 7, StateUnauthorized, false})
	f("taken back before that", gone, dated(later), ImportNew, after{"old", "", 8, StateUnknown, true})

	f("listed, nothing there", record{}, shown("new", noon), ImportNew, after{"new", "", 1, StateUnknown, true})
	f("listed, no time", record{}, shown("new", time.Time{}), ImportNew, after{"new", "", 1, StateUnknown, true})
	f("listed, the same", ours, shown("ours", time.Time{}), ImportHeld, after{"ours", "", 7, StateUnknown, false})
	f("listed, another", ours, shown("new", before), ImportKept, after{"ours", "new", 7, StateUnknown, true})
	f("listed, imported before", record{generation: 1, refreshToken: secret.New("first")}, shown("new", noon), ImportReplaces, after{"new", "", 1, StateUnknown, true})
	f("listed, taken back before", gone, shown("new", later), ImportNew, after{"new", "", 8, StateUnknown, true})
}

// Whatever is imported, in whatever order and however often: the last token of WeChat's stays in
// force, a second time changes nothing, and of two tokens neither is lost.
func TestImportRefreshToken_Properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := record{generation: 3, refreshToken: secret.New("ours")}
		if rapid.Bool().Draw(t, "from WeChat") {
			r.obtained = noon
		}
		fromWeChat := !r.obtained.IsZero()
		for range rapid.IntRange(1, 8).Draw(t, "times") {
			item := ImportItem{Value: secret.New(rapid.SampledFrom([]string{"ours", "a", "b"}).Draw(t, "value"))}
			if rapid.Bool().Draw(t, "dated") {
				item.At = noon.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Hour)
			}
			lost := r.spare
			generation := r.generation
			result, changed := r.importRefreshToken(item)
			if r.generation < generation || changed && result == ImportHeld {
				t.Fatalf("%s: generation %d after %d", result, r.generation, generation)
			}
			if fromWeChat && r.refreshToken.Reveal() != "ours" {
				t.Fatalf("%s replaced what WeChat gave", result)
			}
			held := r.refreshToken.Equal(item.Value) || r.spare.Equal(item.Value)
			if !held && lost.IsZero() {
				t.Fatalf("%s lost the only other token", result)
			}
			if result, changed := r.importRefreshToken(item); changed || held && result != ImportHeld {
				t.Fatalf("a second time: %s, changed %t", result, changed)
			}
		}
	})
}

func TestImportTicket(t *testing.T) {
	t.Parallel()
	f := func(what string, held []ticket, at time.Time, want ImportResult, then ...string) {
		t.Helper()
		p := platformRecord{tickets: held}
		next, result := p.importTicket(ImportItem{Component: "wxc", Value: secret.New("old"), At: at}, noon)
		var got []string
		for _, t := range next.tickets {
			got = append(got, fmt.Sprintf("%s %s", t.value.Reveal(), noon.Sub(t.received)))
		}
		if diff := cmp.Diff(then, got); diff != "" || result != want {
			t.Errorf("%s: %s, want %s (-want +got):\n%s", what, result, want, diff)
		}
		if pushed, ok := next.with(ticket{value: secret.New("pushed"), created: noon.Add(-11 * time.Hour), received: noon}); want == ImportNew && (!ok || pushed.tickets[0].value.Reveal() != "pushed") {
			t.Errorf("%s: a push does not take its place", what)
		}
	}
	pushed := func(value string, age time.Duration) ticket {
		return ticket{secret.New(value), noon.Add(-age), noon.Add(-age)}
	}
	f("none", nil, noon.Add(-time.Hour), ImportNew, "old 1h0m0s")
	f("none, of unknown age", nil, time.Time{}, ImportNew, "old 25m0s")
	f("none, from the future", nil, noon.Add(time.Hour), ImportNew, "old 0s")
	f("too old", nil, noon.Add(-12*time.Hour-1), ImportExpired)
	f("held", []ticket{pushed("new", 0), pushed("old", time.Hour)}, noon, ImportHeld, "new 0s", "old 1h0m0s")
	f("a newer one", []ticket{pushed("new", time.Minute)}, noon.Add(-time.Hour), ImportKept, "new 1m0s")
	f("one, of unknown age", []ticket{pushed("new", time.Hour)}, time.Time{}, ImportKept, "new 1h0m0s")
	f("an older one", []ticket{pushed("a", time.Hour), pushed("b", 2*time.Hour), pushed("c", 3*time.Hour)}, noon.Add(-time.Minute), ImportReplaces, "old 1m0s", "a 1h0m0s", "b 2h0m0s")
	f("one that is over", []ticket{pushed("a", 13*time.Hour)}, time.Time{}, ImportNew, "old 25m0s", "a 13h0m0s")
	imported := ticket{value: secret.New("a"), received: noon.Add(-25 * time.Minute)}
	f("one imported before, both of unknown age", []ticket{imported}, time.Time{}, ImportReplaces, "old 25m0s", "a 25m0s")
	f("one imported before, which is newer", []ticket{imported}, noon.Add(-time.Hour), ImportKept, "a 25m0s")
}
