package wechattest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// alphabet is what WeChat's tokens are made of.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// mint makes the random texts of a server. It is used under the server's lock.
type mint struct{ rng *rand.Rand }

func newMint(seed uint64) mint { return mint{rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))} }

// text returns n random characters of the alphabet.
func (m mint) text(n int) string {
	var b strings.Builder
	b.Grow(n)
	for b.Len() < n {
		bits := m.rng.Uint64()
		for range min(10, n-b.Len()) {
			b.WriteByte(alphabet[bits&63])
			bits >>= 6
		}
	}
	return b.String()
}

// token returns a text that looks like an access token: 138 to 160 characters.
func (m mint) token() string {
	return fmt.Sprintf("%d_%s", 10+m.rng.IntN(90), m.text(135+m.rng.IntN(23)))
}

func (m mint) refreshToken() string { return "refreshtoken@@@" + m.text(43) }
func (m mint) ticket() string       { return "ticket@@@" + m.text(85) }
func (m mint) preAuthCode() string  { return "preauthcode@@@" + m.text(64) }
func (m mint) authCode() string     { return "queryauthcode@@@" + m.text(64) }

// openID returns what stands for a user.
func (m mint) openID() string { return "o" + m.text(27) }

// rid returns a request id as it stands at the end of WeChat's error texts.
func (m mint) rid() string {
	return fmt.Sprintf("%08x-%08x-%08x", m.rng.Uint32(), m.rng.Uint32(), m.rng.Uint32())
}

// chance reports true with probability p.
func (m mint) chance(p float64) bool { return m.rng.Float64() < p }

// wellFormed reports whether s could be a token at all. What could not is
// answered 40014 instead of 40001.
func wellFormed(s string) bool {
	if len(s) < 100 || len(s) > 512 {
		return false
	}
	return strings.Trim(s, alphabet) == ""
}
