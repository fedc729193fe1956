package proxy

import "time"

// deadline is that of reads, or that of writes, of a connection. To set one costs a timer of
// the runtime, and nearly every step of a call ends long before its own. So the one in force
// stays where it is little later than the one that is wanted: what makes no progress ends at
// most a tenth of its time late, and never early.
type deadline struct {
	wanted  time.Time // zero for none
	inForce time.Time
}

// due returns the deadline to set, and false where the one in force will do. late is by how
// much that may be later than the one wanted.
func (d *deadline) due(late time.Duration) (time.Time, bool) {
	switch by := d.inForce.Sub(d.wanted); {
	case d.wanted.IsZero() || d.inForce.IsZero():
		if d.wanted.Equal(d.inForce) {
			return d.inForce, false
		}
	case 0 <= by && by <= late:
		return d.inForce, false
	}
	d.inForce = d.wanted
	if !d.wanted.IsZero() {
		d.inForce = d.wanted.Add(late)
	}
	return d.inForce, true
}

// set notes a deadline that was set on the connection itself.
func (d *deadline) set(t time.Time) { d.wanted, d.inForce = t, t }
