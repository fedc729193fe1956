package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// importedAtOnce is how many records are read, and written, at once.
const importedAtOnce = 100

// Import puts the items into the store, or only says what would be done where write is false. It
// returns what becomes of each, in their order; with an error of those alone that were looked at,
// and what was written stays.
func (m *Importer) Import(ctx context.Context, items []ImportItem, write bool) ([]ImportResult, error) {
	results := make([]ImportResult, len(items))
	groups := importGroups(items)
	for len(groups) > 0 {
		if err := ctx.Err(); err != nil {
			return results, err
		}
		some := groups[:min(len(groups), importedAtOnce)]
		groups = groups[len(some):]
		if err := m.batch(ctx, items, some, results, write); err != nil {
			return results, err
		}
	}
	return results, nil
}

// importGroup is the items of one record, in their order.
type importGroup struct {
	name  string
	items []int
}

func importGroups(items []ImportItem) []importGroup {
	byName := map[string]int{}
	var groups []importGroup
	for i, item := range items {
		name := item.name()
		at, ok := byName[name]
		if !ok {
			at = len(groups)
			byName[name], groups = at, append(groups, importGroup{name: name})
		}
		groups[at].items = append(groups[at].items, i)
	}
	// Tickets come last: a sidecar that finds one has its merchants then.
	sort.SliceStable(groups, func(i, j int) bool { return !groups[i].isTicket() && groups[j].isTicket() })
	return groups
}

func (g importGroup) isTicket() bool { return strings.HasPrefix(g.name, platformPrefix) }

// batch imports some groups in one write, and again where somebody else was faster.
func (m *Importer) batch(ctx context.Context, items []ImportItem, groups []importGroup, results []ImportResult, write bool) error {
	for range conflictTries {
		changes, err := m.plan(ctx, items, groups, results)
		if err != nil || !write || len(changes) == 0 {
			return err
		}
		if m.fresh {
			if err := m.mark(ctx); err != nil {
				return err
			}
			m.fresh = false
		}
		if err := m.ledger.write(ctx, changes...); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return outpaced(groups[0].name)
}

// mark has a fresh store tell its key from another: what is imported must not open later as
// damage.
func (m *Importer) mark(ctx context.Context) error {
	err := m.ledger.write(ctx, change{name: canaryName, generation: 1, plain: []byte(canaryText)})
	if errors.Is(err, store.ErrConflict) {
		_, _, err = m.ledger.checkSeal(ctx) // a sidecar has started meanwhile
	}
	return err
}

// plan reads the records of the groups and returns the changes, and what becomes of each item.
func (m *Importer) plan(ctx context.Context, items []ImportItem, groups []importGroup, results []ImportResult) ([]change, error) {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.name
	}
	found, err := m.ledger.store.GetAll(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("read %d records from the store: %w", len(names), err)
	}
	var changes []change
	for _, g := range groups {
		got := opened{}
		if i := slices.IndexFunc(found, func(n store.Named) bool { return n.Name == g.name }); i >= 0 {
			got = m.ledger.unseal(g.name, found[i].Record)
		}
		edit := m.editRecord
		if g.isTicket() {
			edit = m.editPlatform
		}
		c, changed, err := edit(g, got, items, results)
		if err != nil {
			return nil, err
		}
		if changed {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

func (m *Importer) editRecord(g importGroup, got opened, items []ImportItem, results []ImportResult) (c change, changed bool, err error) {
	key, _ := keyNamed(g.name)
	rec := m.ledger.decode(key, got)
	before := *rec
	m.sortByAge(items, g.items)
	for _, i := range g.items {
		result, edited := rec.importRefreshToken(m.timed(items[i]))
		results[i], changed = result, changed || edited
	}
	changed = changed && !rec.holdsAsMuchAs(&before)
	for _, i := range g.items {
		results[i] = rec.placeOf(items[i], results[i], &before)
	}
	if changed {
		c, err = recordChange(key, got.version, rec)
	}
	return c, changed, err
}

// sortByAge puts the newest last; those of unknown age come first.
func (m *Importer) sortByAge(items []ImportItem, order []int) {
	sort.SliceStable(order, func(i, j int) bool { return m.timed(items[order[i]]).At.Before(m.timed(items[order[j]]).At) })
}

// timed returns an item without a time that has not come: it would pass for newer than what WeChat
// says from now on.
func (m *Importer) timed(item ImportItem) ImportItem {
	if item.Listed.IsZero() && item.At.After(m.Now()) {
		item.At = time.Time{}
	}
	return item
}

func (m *Importer) editPlatform(g importGroup, got opened, items []ImportItem, results []ImportResult) (c change, changed bool, err error) {
	p := decodePlatform(got)
	for _, i := range g.items {
		next, result := p.importTicket(items[i], m.Now())
		results[i] = result
		if result == ImportNew || result == ImportReplaces {
			p, changed = next, true
		}
	}
	if !changed {
		return c, false, nil
	}
	p.generation = got.version.Generation + 1
	plain, err := p.encode()
	return change{name: g.name, base: got.version, generation: p.generation, plain: plain}, true, err
}
