package broker

import (
	"context"
	"fmt"
	"sort"
	"strings"
)

// storedAccount is the record of an authorizer that is not opened yet.
type storedAccount struct {
	key  Key
	open func() *record
}

// accountsAfter returns at most limit authorizers whose names begin with prefix and come
// after the name after, those included that the store did not take, and the last name that
// was looked at; empty where there are no more.
func (l *ledger) accountsAfter(ctx context.Context, prefix, after string, limit int) ([]storedAccount, string, error) {
	page, err := l.store.List(ctx, prefix, after, limit)
	if err != nil {
		l.metrics.StoreOperation("list", "error")
		return nil, "", err
	}
	l.metrics.StoreOperation("list", "ok")
	var found []storedAccount
	listed := map[Key]bool{}
	add := func(key Key, open func() *record) {
		if !listed[key] {
			listed[key] = true
			found = append(found, storedAccount{key, open})
		}
	}
	for _, named := range page {
		key := keyOf(KindAuthorizer, strings.TrimPrefix(named.Name, authorizerPrefix))
		add(key, func() *record { return l.decode(key, l.unseal(named.Name, named.Record)) })
	}
	last := ""
	if len(page) == limit {
		last = page[limit-1].Name
	}
	stored := len(found)
	for _, key := range l.unsavedKeys() {
		name := key.String()
		if strings.HasPrefix(name, prefix) && name > after && (last == "" || name <= last) {
			add(key, func() *record { return &record{} }) // it is in use, or gone meanwhile
		}
	}
	if len(found) > stored {
		sort.Slice(found, func(i, j int) bool { return found[i].key.String() < found[j].key.String() })
	}
	return found, last, nil
}

// loadAll returns the records of those keys that have one.
func (l *ledger) loadAll(ctx context.Context, keys []Key) (map[Key]*record, error) {
	byName := map[string]Key{}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.String()
		byName[names[i]] = key
	}
	found, err := l.store.GetAll(ctx, names)
	if err != nil {
		l.metrics.StoreOperation("get", "error")
		return nil, fmt.Errorf("read %d records from the store: %w", len(keys), err)
	}
	l.metrics.StoreOperation("get", "ok")
	recs := map[Key]*record{}
	for _, named := range found {
		key := byName[named.Name]
		recs[key] = l.decode(key, l.unseal(named.Name, named.Record))
	}
	return recs, nil
}
