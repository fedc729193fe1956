package memstore

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// value is what Remember keeps.
type value struct {
	bytes []byte
	until time.Time
}

// Remember implements [store.Memory].
func (s *Shared) Remember(ctx context.Context, name string, value []byte, ttl time.Duration) (kept []byte, mine bool, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, false, fmt.Errorf("remember %q: %w", name, err)
	}
	kept, mine = s.data.remember(name, value, ttl)
	return kept, mine, nil
}

// Replace implements [store.Memory].
func (s *Shared) Replace(ctx context.Context, name string, old, value []byte, ttl time.Duration) (bool, error) {
	if err := s.begin(ctx); err != nil {
		return false, fmt.Errorf("replace %q: %w", name, err)
	}
	return s.data.replace(name, old, value, ttl), nil
}

func (d *data) remember(name string, bs []byte, ttl time.Duration) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.valueLocked(name); ok {
		return bytes.Clone(v), false
	}
	d.values[name] = value{bytes.Clone(bs), d.now().Add(ttl)}
	return bytes.Clone(bs), true
}

func (d *data) replace(name string, old, bs []byte, ttl time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.valueLocked(name)
	if !ok || !bytes.Equal(v, old) {
		return false
	}
	if bs == nil {
		delete(d.values, name)
	} else {
		d.values[name] = value{bytes.Clone(bs), d.now().Add(ttl)}
	}
	return true
}

func (d *data) valueLocked(name string) ([]byte, bool) {
	v, ok := d.values[name]
	if ok && !d.now().Before(v.until) {
		delete(d.values, name)
		ok = false
	}
	return v.bytes, ok
}
