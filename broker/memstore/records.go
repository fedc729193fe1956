package memstore

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// data is what a store and its views share.
type data struct {
	now func() time.Time

	mu      sync.RWMutex
	records map[string]store.Record
	names   []string // the names in order; nil after one came or went
	leases  map[string]held
	fences  map[string]uint64 // the last of each name
	values  map[string]value
	peers   []seen   // who announced itself, in the order of time
	watches []*watch // of the views that watch
}

func newData(now func() time.Time) *data {
	return &data{
		now: now, records: map[string]store.Record{}, leases: map[string]held{}, fences: map[string]uint64{}, values: map[string]value{},
	}
}

func (d *data) get(name string) (store.Record, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rec, ok := d.records[name]
	return own(rec), ok
}

func (d *data) getAll(names []string) []store.Named {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []store.Named
	for _, name := range names {
		if rec, ok := d.records[name]; ok {
			out = append(out, store.Named{Name: name, Record: own(rec)})
		}
	}
	return out
}

func (d *data) list(prefix, after string, limit int) []store.Named {
	d.mu.Lock() // not RLock: the order may have to be made
	defer d.mu.Unlock()
	names := d.orderedLocked()
	var out []store.Named
	for i := sort.SearchStrings(names, max(prefix, after)); i < len(names) && len(out) < limit; i++ {
		if !strings.HasPrefix(names[i], prefix) {
			break
		}
		if names[i] > after || after == "" {
			out = append(out, store.Named{Name: names[i], Record: own(d.records[names[i]])})
		}
	}
	return out
}

// apply does all the writes or none. by is the watch of the view that asks; nil for the store.
func (d *data) apply(writes []store.Write, by *watch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range writes {
		if d.records[w.Name].Version() == w.Base {
			continue
		}
		if by != nil && d.doneLocked(writes) {
			return nil
		}
		return fmt.Errorf("%q: %w", w.Name, store.ErrConflict)
	}
	var changes []store.Change
	for _, w := range writes {
		_, known := d.records[w.Name]
		stays := w.Record.Sealed != nil
		if !known && !stays {
			continue
		}
		if stays {
			d.records[w.Name] = own(w.Record)
		} else {
			delete(d.records, w.Name)
		}
		if known != stays {
			d.names = nil
		}
		changes = append(changes, store.Change{Name: w.Name, Came: !known, Went: !stays})
	}
	for _, w := range d.watches {
		if w != by {
			w.changed(changes)
		}
	}
	return nil
}

// doneLocked reports whether an earlier call did just these writes. Deletions alone do not tell.
func (d *data) doneLocked(writes []store.Write) bool {
	tells := false
	for _, w := range writes {
		rec, ok := d.records[w.Name]
		if ok != (w.Record.Sealed != nil) || ok && rec.Version() != w.Record.Version() {
			return false
		}
		tells = tells || ok
	}
	return tells
}

func (d *data) empty() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.records)
	clear(d.leases)
	clear(d.fences)
	clear(d.values)
	d.peers = nil
	d.names = nil
	for _, w := range d.watches {
		w.emptied()
	}
}

// orderedLocked sorts only after names came or went: a walk over a million records by
// pages must not sort for each page, nor each write move a million names.
func (d *data) orderedLocked() []string {
	if d.names == nil {
		d.names = make([]string, 0, len(d.records))
		for name := range d.records {
			d.names = append(d.names, name)
		}
		slices.Sort(d.names)
	}
	return d.names
}

// own returns rec with bytes of its own, and never nil ones: an empty content is
// not the absence of a record.
func own(rec store.Record) store.Record {
	if rec.Sealed = bytes.Clone(rec.Sealed); rec.Sealed == nil {
		rec.Sealed = []byte{}
	}
	return rec
}
