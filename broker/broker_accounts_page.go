package broker

import (
	"context"
	"slices"
	"strings"
	"time"
)

// accountPager gathers one page.
type accountPager struct {
	Admin
	q    AccountQuery
	now  time.Time
	page AccountPage
}

// end cuts the page to its limit.
func (p *accountPager) end() {
	if all := p.page.Accounts; len(all) > p.q.Limit {
		p.page.Accounts = all[:p.q.Limit]
		p.page.Next = all[p.q.Limit-1].key.String()
	}
}

// addInUse adds the authorizers in use that are asked for.
func (p *accountPager) addInUse() {
	p.page.Next = ""
	p.page.Accounts = slices.DeleteFunc(p.page.Accounts, func(s AccountStatus) bool { return s.key.Kind == KindAuthorizer })
	keys := p.b.table.keysInUse(func(key Key) bool { return key.Kind == KindAuthorizer && p.q.wants(key) }, p.q.State)
	keys = keys[:min(len(keys), p.q.Limit+1)]
	held := p.b.table.accountsIn(keys, p.q.State)
	for _, key := range keys {
		if s := held[key]; s != nil {
			p.page.Accounts = append(p.page.Accounts, *s)
		}
	}
}

// scan adds authorizers in the order of the store's names until the page is full or its
// time is over.
func (p *accountPager) scan(ctx context.Context) error {
	prefix := authorizerPrefix
	if strings.HasPrefix(p.q.Search, "wx") {
		prefix += p.q.Search
	}
	clock := p.b.env.clock
	began := clock.Local()
	for after := p.q.After; len(p.page.Accounts) <= p.q.Limit; {
		found, last, err := p.b.ledger.accountsAfter(ctx, prefix, after, scanPage)
		if err != nil {
			return err
		}
		p.addStored(found)
		if after = last; last == "" {
			return nil
		}
		if clock.Local().Sub(began) > scanTime {
			p.page.Next = last
			return nil
		}
	}
	return nil
}

// addStored adds those of found that are asked for. What memory knows of a key counts
// before its record.
func (p *accountPager) addStored(found []storedAccount) {
	found = slices.DeleteFunc(found, func(f storedAccount) bool { return !p.q.wants(f.key) })
	keys := make([]Key, len(found))
	for i, f := range found {
		keys[i] = f.key
	}
	held := p.b.table.accountsIn(keys, p.q.State)
	for _, f := range found {
		if s, inUse := held[f.key]; !inUse {
			p.addRecord(f)
		} else if s != nil {
			p.page.Accounts = append(p.page.Accounts, *s)
		}
	}
}

// addRecord adds an account that is not in use if it is asked for.
func (p *accountPager) addRecord(f storedAccount) {
	rec := f.open()
	if !rec.known() || !p.b.env.config.Load().isComponent(f.key.Component) {
		return
	}
	if s := statusOf(f.key, rec, p.now); p.q.wantsState(&s) {
		p.page.Accounts = append(p.page.Accounts, s)
	}
}

// date adds what only records say to the accounts of the page. It is for people, and
// without the store they do without.
func (p *accountPager) date(ctx context.Context) {
	var keys []Key
	for _, s := range p.page.Accounts {
		if s.InUse && s.key.Kind == KindAuthorizer {
			keys = append(keys, s.key)
		}
	}
	recs, err := p.b.ledger.loadAll(ctx, keys)
	if err != nil {
		return
	}
	for i := range p.page.Accounts {
		s := &p.page.Accounts[i]
		if rec := recs[s.key]; rec != nil {
			s.AuthorizedAt = shownTime(rec.authorized)
		}
	}
}
