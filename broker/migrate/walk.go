package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// walk calls visit with each name that the source or the target has, in order, and with nil
// for the one that has no such record. The records are valid until visit returns, their
// contents for longer.
func (m *migration) walk(ctx context.Context, visit func(from, to *store.Named) error) error {
	source := cursor{store: m.From, whose: "source", ignore: m.Ignore}
	target := cursor{store: m.To, whose: "target", ignore: m.Ignore}
	for {
		from, err := source.peek(ctx)
		if err != nil {
			return err
		}
		to, err := target.peek(ctx)
		if err != nil {
			return err
		}
		switch {
		case from == nil && to == nil:
			return nil
		case from != nil && to != nil:
			if order := strings.Compare(from.Name, to.Name); order < 0 {
				to = nil
			} else if order > 0 {
				from = nil
			}
		}
		if err := visit(from, to); err != nil {
			return err
		}
		if from != nil {
			source.next()
		}
		if to != nil {
			target.next()
		}
	}
}

// cursor reads the records of a store in the order of their names.
type cursor struct {
	store  store.Store
	whose  string
	ignore []string
	page   []store.Named
	after  string
	ended  bool
}

// peek returns the next record, nil if there is none.
func (c *cursor) peek(ctx context.Context) (*store.Named, error) {
	for len(c.page) == 0 && !c.ended {
		page, err := c.store.List(ctx, "", c.after, batch)
		if err != nil {
			return nil, fmt.Errorf("the %s: %w", c.whose, err)
		}
		c.ended = len(page) < batch
		if len(page) > 0 {
			c.after = page[len(page)-1].Name
		}
		c.page = slices.DeleteFunc(page, func(n store.Named) bool { return slices.Contains(c.ignore, n.Name) })
	}
	if len(c.page) == 0 {
		return nil, nil
	}
	return &c.page[0], nil
}

func (c *cursor) next() { c.page = c.page[1:] }
