package memstore

import (
	"context"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// access reads and writes records for the store itself, or for one view of it.
type access struct {
	// Options are the levers. Those of a view are its own, and are set before it is used.
	Options
	data *data
	// watch has what a view is to be told, and whether it is cut off; nil for the store itself.
	watch *watch
}

// Get implements [store.Store].
func (a *access) Get(ctx context.Context, name string) (store.Record, error) {
	if err := a.begin(ctx); err != nil {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, err)
	}
	rec, ok := a.data.get(name)
	if !ok {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, store.ErrNotFound)
	}
	return rec, nil
}

// GetAll implements [store.Store].
func (a *access) GetAll(ctx context.Context, names []string) ([]store.Named, error) {
	if err := a.begin(ctx); err != nil {
		return nil, fmt.Errorf("get %d records: %w", len(names), err)
	}
	return a.data.getAll(names), nil
}

// Put implements [store.Store]. For a view, what is stored already is no conflict.
func (a *access) Put(ctx context.Context, writes ...store.Write) error {
	if err := a.put(ctx, writes); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	return nil
}

func (a *access) put(ctx context.Context, writes []store.Write) error {
	if err := store.CheckWrites(writes); err != nil {
		return err
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	if a.FailPut != nil {
		if err := a.FailPut(writes); err != nil {
			return err
		}
	}
	if err := a.data.apply(writes, a.watch); err != nil {
		return err
	}
	if a.LosePut != nil {
		return a.LosePut(writes)
	}
	return nil
}

// List implements [store.Store].
func (a *access) List(ctx context.Context, prefix, after string, limit int) ([]store.Named, error) {
	if err := a.begin(ctx); err != nil {
		return nil, fmt.Errorf("list records %q: %w", prefix, err)
	}
	return a.data.list(prefix, after, limit), nil
}

// begin also asks ctx, and whether the view is cut off, after the wait: it may have been long.
func (a *access) begin(ctx context.Context) error {
	if err := a.reachable(ctx); err != nil || a.Wait == nil {
		return err
	}
	if err := a.Wait(ctx); err != nil {
		return err
	}
	return a.reachable(ctx)
}

func (a *access) reachable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.watch.cutOff()
}
