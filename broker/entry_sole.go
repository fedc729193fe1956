package broker

import "math"

const (
	soleNot     = 0
	soleDropped = math.MaxUint64 // and so it stays
)

// certain reports whether c means e under its appid, whatever else there may be.
func (e *entry) certain(c Choice) bool {
	switch at := e.sole.Load(); {
	case at == soleDropped:
		return false
	case c.Component != "":
		return c.Component == e.key.Component
	default:
		return at == e.env.epoch.Load()+1
	}
}

// noteSole notes that e was found to be the only account of its appid at epoch.
func (e *entry) noteSole(epoch uint64) { e.setSole(epoch + 1) }

// noteShared notes that the entries share their appid.
func noteShared(all []*entry) {
	for _, e := range all {
		e.setSole(soleNot)
	}
}

// setSole sets sole, but of an entry that was dropped.
func (e *entry) setSole(to uint64) {
	for {
		was := e.sole.Load()
		if was == soleDropped || e.sole.CompareAndSwap(was, to) {
			return
		}
	}
}

// wasSole reports whether e was the only account of its appid when that was last looked at.
func (e *entry) wasSole() bool {
	at := e.sole.Load()
	return at != soleNot && at != soleDropped
}

// disown makes sure that e, which is dropped, is taken for no account any more.
func (e *entry) disown() {
	e.sole.Store(soleDropped)
	k := (*Known)(e)
	if m := k.Mark(); m != nil {
		m.Dropped(k)
	}
}
