package broker

import (
	"encoding/binary"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// kept is a record as memory holds it of each key in use: to the millisecond, as the store
// has it too. What nearly all records are lies in one text, in which that of the token
// stands as well, at half of what a record and its secrets take. The zero value is the empty record.
type kept struct {
	packed string
	rec    *record // of what cannot be packed; nil for none. It is not changed
}

func keep(rec *record) kept {
	if packed, ok := rec.pack(); ok {
		return kept{packed: packed}
	}
	return kept{rec: rec}
}

// record returns what is held, which the caller must not change.
func (k kept) record() *record {
	if k.rec != nil {
		return k.rec
	}
	return unpackRecord(k.packed)
}

// pack returns the record as a text, and false for one that has more than what one of a
// key without trouble has.
func (r *record) pack() (string, bool) {
	more := *r
	more.generation, more.fence, more.token, more.refreshToken = 0, 0, secret.Text{}, secret.Text{}
	more.obtained, more.dies, more.fullLife = time.Time{}, time.Time{}, 0
	more.authorized, more.used = time.Time{}, time.Time{}
	if more != (record{}) {
		return "", false
	}
	token, refresh := r.token.Reveal(), r.refreshToken.Reveal()
	var head [8 * binary.MaxVarintLen64]byte
	b := head[:0]
	for _, n := range []int64{
		int64(r.generation), int64(r.fence), millis(r.obtained), millis(r.dies), r.fullLife.Milliseconds(),
		millis(r.authorized), millis(r.used), int64(len(token)),
	} {
		b = binary.AppendVarint(b, n)
	}
	return string(b) + token + refresh, true
}

// unpackRecord is the record that pack made packed of. Its secrets are parts of packed.
func unpackRecord(packed string) *record {
	if packed == "" {
		return &record{}
	}
	var n [8]int64
	at := 0
	for i := range n {
		var size int
		n[i], size = binary.Varint([]byte(packed[at:min(len(packed), at+binary.MaxVarintLen64)]))
		at += size
	}
	token := at + int(n[7])
	return &record{
		generation: uint64(n[0]), fence: uint64(n[1]), obtained: moment(n[2]), dies: moment(n[3]),
		fullLife:   time.Duration(n[4]) * time.Millisecond,
		authorized: moment(n[5]), used: moment(n[6]),
		token: secret.New(packed[at:token]), refreshToken: secret.New(packed[token:]),
	}
}
