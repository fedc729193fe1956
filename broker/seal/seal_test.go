package seal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/seal"
)

func testKey(b byte) []byte { return bytes.Repeat([]byte{b}, seal.KeySize) }

func ring(t testing.TB, current, previous []byte) *seal.Keyring {
	t.Helper()
	k, err := seal.New(current, previous)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyring_RoundTrip(t *testing.T) {
	k := ring(t, testKey(1), testKey(2))
	rapid.Check(t, func(t *rapid.T) {
		name, gen := rapid.String().Draw(t, "name"), rapid.Uint64().Draw(t, "generation")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed := k.Seal(name, gen, plain)
		if len(sealed) != len(plain)+seal.Overhead {
			t.Fatalf("%d bytes sealed for %d", len(sealed), len(plain))
		}
		got, err := k.Open(name, gen, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open = %q, %v", got, err)
		}
	})
}

func TestKeyring_SealIsRandomAndHidesThePlain(t *testing.T) {
	k := ring(t, testKey(1), nil)
	plain := []byte("a refresh token that nobody may read")
	a, b := k.Seal("n", 1, plain), k.Seal("n", 1, plain)
	if bytes.Equal(a, b) {
		t.Error("two seals of one content are equal: the nonce is not fresh")
	}
	if bytes.Contains(a, plain[:8]) {
		t.Error("the content shows in the envelope")
	}
}

func TestKeyring_RefusesEveryFlippedBit(t *testing.T) {
	k := ring(t, testKey(1), testKey(2))
	sealed := k.Seal("authorizer/wx1", 7, []byte("content"))
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := k.Open("authorizer/wx1", 7, bad); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("bit %d flipped: %v, want ErrDamaged", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := k.Open("authorizer/wx1", 7, sealed[:n]); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v, want ErrDamaged", n, err)
		}
	}
}

func TestKeyring_BindsNameAndGeneration(t *testing.T) {
	k := ring(t, testKey(1), nil)
	sealed := k.Seal("authorizer/wx1", 7, []byte("content"))
	refused := func(name string, gen uint64) {
		t.Helper()
		if _, err := k.Open(name, gen, sealed); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s generation %d: %v, want ErrDamaged", name, gen, err)
		}
	}
	refused("authorizer/wx2", 7)
	refused("authorizer/wx1", 8)
	refused("authorizer/wx1", 6)
	refused("", 7)
	refused("uthorizer/wx1", 7<<8|'a')
}

func TestKeyring_Rotation(t *testing.T) {
	old, both, fresh := ring(t, testKey(1), nil), ring(t, testKey(2), testKey(1)), ring(t, testKey(2), nil)
	sealed := old.Seal("n", 3, []byte("content"))
	if got, err := both.Open("n", 3, sealed); err != nil || string(got) != "content" {
		t.Errorf("the previous key does not open: %q, %v", got, err)
	}
	if !both.NeedsReseal(sealed) || old.NeedsReseal(sealed) || fresh.NeedsReseal(sealed) {
		t.Error("NeedsReseal is not true for exactly the previous key's envelope")
	}
	again := both.Seal("n", 3, []byte("content"))
	if both.NeedsReseal(again) || both.NeedsReseal(nil) {
		t.Error("NeedsReseal of a fresh envelope, or of nothing")
	}
	if _, err := fresh.Open("n", 3, again); err != nil {
		t.Errorf("the current key does not open alone: %v", err)
	}
	_, err := fresh.Open("n", 3, sealed)
	if !errors.Is(err, seal.ErrWrongKey) || errors.Is(err, seal.ErrDamaged) {
		t.Errorf("a foreign key: %v, want ErrWrongKey only", err)
	}
	for _, part := range []string{`"n"`, "seal.key_file", "seal.previous_key_file", "hint:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestKeyring_UnknownFormatIsNotDamage(t *testing.T) {
	sealed := ring(t, testKey(1), nil).Seal("n", 1, []byte("content"))
	sealed[0] = 2
	_, err := ring(t, testKey(9), nil).Open("n", 1, sealed)
	if !errors.Is(err, seal.ErrUnknownFormat) || errors.Is(err, seal.ErrDamaged) {
		t.Errorf("%v, want ErrUnknownFormat only", err)
	}
}

func TestKeyring_CurrentID(t *testing.T) {
	id := ring(t, testKey(1), nil).CurrentID()
	if len(id) != 8 || id != ring(t, testKey(1), testKey(2)).CurrentID() {
		t.Errorf("id %q is not four stable bytes", id)
	}
	if id == ring(t, testKey(2), nil).CurrentID() || strings.Contains(hex.EncodeToString(testKey(1)), id) {
		t.Errorf("id %q does not tell keys apart, or shows the key", id)
	}
}

func TestKeyring_Derive(t *testing.T) {
	k := ring(t, testKey(1), testKey(2))
	a, b := k.Derive("handles"), k.Derive("links")
	if len(a) != 2 || len(a[0]) != seal.KeySize || len(a[1]) != seal.KeySize {
		t.Fatalf("Derive gave %d keys", len(a))
	}
	if bytes.Equal(a[0], a[1]) || bytes.Equal(a[0], b[0]) || bytes.Equal(a[0], testKey(1)) {
		t.Error("derived keys are not apart")
	}
	alone := ring(t, testKey(2), nil).Derive("handles")
	if len(alone) != 1 || !bytes.Equal(alone[0], a[1]) {
		t.Error("a previous key does not derive what it derived as the current one")
	}
}

// TestKeyring_Stable holds envelopes and derived keys to what earlier versions
// wrote: a change here makes every existing store unreadable.
func TestKeyring_Stable(t *testing.T) {
	k := ring(t, testKey(7), nil)
	if got := k.CurrentID(); got != stableID {
		t.Errorf("key id %s, was %s", got, stableID)
	}
	if got := hex.EncodeToString(k.Derive("x")[0]); got != stableDerived {
		t.Errorf("derived %s, was %s", got, stableDerived)
	}
	sealed := unhex(t, stableSealed)
	if got, err := k.Open("authorizer/wx1", 5, sealed); err != nil || string(got) != "content" {
		t.Errorf("an old envelope: %q, %v", got, err)
	}
}

func TestNew_Errors(t *testing.T) {
	refused := func(current, previous []byte, want string) {
		t.Helper()
		if _, err := seal.New(current, previous); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to name %s", err, want)
		}
	}
	refused(nil, nil, "seal.key_file: the key has 0 bytes")
	refused(testKey(1)[:31], nil, "seal.key_file: the key has 31 bytes")
	refused(testKey(1), []byte{}, "seal.previous_key_file: the key has 0 bytes")
	refused(testKey(1), testKey(1), "hold the same key")
}

// FuzzOpen: nothing but the one known envelope opens under this key. It is a fixed
// one, since the fuzzer's processes must agree on it.
func FuzzOpen(f *testing.F) {
	k, whole := ring(f, testKey(7), testKey(2)), unhex(f, stableSealed)
	f.Add("authorizer/wx1", uint64(5), whole)
	f.Add("authorizer/wx1", uint64(5), whole[:len(whole)-1])
	f.Add("", uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, name string, gen uint64, sealed []byte) {
		k.NeedsReseal(sealed)
		_, err := k.Open(name, gen, sealed)
		known := name == "authorizer/wx1" && gen == 5 && bytes.Equal(sealed, whole)
		if known != (err == nil) {
			t.Errorf("Open %q generation %d: %v", name, gen, err)
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkSeal(b *testing.B) {
	k := ring(b, testKey(1), nil)
	plain := make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		k.Seal("authorizer/wx0123456789abcdef", 7, plain)
	}
}

func BenchmarkOpen(b *testing.B) {
	k := ring(b, testKey(1), nil)
	sealed := k.Seal("authorizer/wx0123456789abcdef", 7, make([]byte, 300))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open("authorizer/wx0123456789abcdef", 7, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
