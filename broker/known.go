package broker

import (
	"fmt"
	"io"
)

// Known is an account that memory knows, as [Broker.Known] finds it. Who calls for it often keeps
// it, and saves the look-up as long as Certain holds. It is safe for concurrent use.
type Known entry

// Mark is what the broker's one user keeps of an account beside it in memory. All are of one type.
type Mark interface {
	// Dropped says that memory has dropped k, of which Certain holds never again. It must not
	// block, and it may be called more than once.
	Dropped(k *Known)
}

// Key returns the key of the account's own token.
func (k *Known) Key() Key { return k.key }

// Format writes the key, whatever the verb: what memory holds beside it must not be printed.
func (k *Known) Format(f fmt.State, _ rune) {
	name := "none"
	if k != nil {
		name = k.key.String()
	}
	_, _ = io.WriteString(f, name)
}

// Account returns what [Broker.Account] returned when k was found.
func (k *Known) Account() Account { return k.key.account() }

// Certain reports whether memory alone still says for certain that c means k under its appid. If
// not, that says nothing of the account.
func (k *Known) Certain(c Choice) bool { return (*entry)(k).certain(c) }

// Token returns the account's living token, as [Broker.Token] does, or nil. It is nil as well once
// memory has dropped k.
func (k *Known) Token() *Token { return (*entry)(k).hit() }

// Mark returns the account's mark, nil for none, as for one that came anew into memory.
func (k *Known) Mark() Mark {
	m, _ := k.mark.Load().(Mark)
	return m
}

// SetMark sets the account's mark, which must not be nil.
func (k *Known) SetMark(m Mark) {
	k.mark.Store(m)
	if k.sole.Load() == soleDropped {
		m.Dropped(k) // who dropped it may not have seen m
	}
}
