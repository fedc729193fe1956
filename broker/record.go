package broker

import (
	"encoding/json"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// record is what the store keeps of one key of kind component, authorizer,
// account or ticket. All times are WeChat's. A record without token and refresh
// token still stands for its key: a tombstone keeps a late writer from bringing
// back what a merchant took away.
type record struct {
	generation   uint64 // beside the sealed content, in [store.Record]
	fence        uint64 // the same
	token        secret.Text
	obtained     time.Time
	dies         time.Time
	refreshToken secret.Text
	// spare is a refresh token that WeChat's list shows in place of ours. Ours is
	// the one that came last, so it is tried first; the spare if it fails.
	spare secret.Text
	// fullLife is the longest life seen; stable_token tells only what is left of
	// a token, and its habits are shares of the whole.
	fullLife time.Duration
	// authorized is when the merchant authorised, the code of that event or the
	// list's auth_time.
	authorized time.Time
	used       time.Time // the last call, as known when the record was written
	verdict    State     // StateUnauthorized, StateNeedsAuthorization or StateUnknown for none
	judged     time.Time // when the verdict was given
	reason     string    // of the verdict
	errcode    int       // of the verdict
	quotaMet   time.Time // when WeChat last answered 45009 to a token call; zero after one that went well
	// forced is what rejections had renewed of late, nil for nothing: the budgets count for
	// all sidecars on the same store.
	forced *forcedRecord
	// unreadable: the store has a record of that generation and its content is lost.
	// It is not stored.
	unreadable bool
}

// wireRecord is a record as it is sealed. Times are milliseconds since 1970.
type wireRecord struct {
	// Component is that of an authorizer in an earlier form, see oldnames.go.
	Component    string `json:"component,omitempty"`
	Token        string `json:"token,omitempty"`
	Obtained     int64  `json:"obtained,omitempty"`
	Dies         int64  `json:"dies,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Spare        string `json:"spare,omitempty"`
	FullLife     int64  `json:"full_life,omitempty"`
	Authorized   int64  `json:"authorized,omitempty"`
	Used         int64  `json:"used,omitempty"`
	Verdict      string `json:"verdict,omitempty"`
	Judged       int64  `json:"judged,omitempty"`
	Reason       string `json:"reason,omitempty"`
	Errcode      int    `json:"errcode,omitempty"`
	QuotaMet     int64  `json:"quota_met,omitempty"`

	Forced *forcedRecord `json:"forced,omitempty"`
}

func (r *record) encode() ([]byte, error) {
	w := wireRecord{
		Token: r.token.Reveal(), Obtained: millis(r.obtained), Dies: millis(r.dies),
		RefreshToken: r.refreshToken.Reveal(), Spare: r.spare.Reveal(), FullLife: r.fullLife.Milliseconds(), Authorized: millis(r.authorized),
		Used: millis(r.used), Judged: millis(r.judged), Reason: r.reason, Errcode: r.errcode,
		QuotaMet: millis(r.quotaMet), Forced: r.forced,
	}
	if r.verdict != StateUnknown {
		w.Verdict = r.verdict.String()
	}
	return json.Marshal(w)
}

func decodeRecord(generation uint64, plain []byte) (*record, error) {
	var w wireRecord
	if err := json.Unmarshal(plain, &w); err != nil {
		return nil, err
	}
	r := &record{
		generation: generation, token: secret.New(w.Token), obtained: moment(w.Obtained),
		dies: moment(w.Dies), refreshToken: secret.New(w.RefreshToken), spare: secret.New(w.Spare), fullLife: time.Duration(w.FullLife) * time.Millisecond,
		authorized: moment(w.Authorized), used: moment(w.Used), judged: moment(w.Judged), reason: w.Reason, errcode: w.Errcode,
		quotaMet: moment(w.QuotaMet), forced: w.Forced,
	}
	for _, s := range []State{StateUnauthorized, StateNeedsAuthorization} {
		if w.Verdict == s.String() {
			r.verdict = s
		}
	}
	return r, nil
}

// alive reports whether the record has a token that has not died at now.
func (r *record) alive(now time.Time) bool { return !r.token.IsZero() && now.Before(r.dies) }

// tokenOf returns the record's token for the key of e, or nil when it has none.
func (r *record) tokenOf(e *entry) *Token {
	if r.token.IsZero() {
		return nil
	}
	return newToken(e, r.token, r.generation, r.obtained, r.dies)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
