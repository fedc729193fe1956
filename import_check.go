package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/imports"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// importChecker asks WeChat of one platform. It reads only: to renew by a refresh token would take
// the access token away that the old system uses.
type importChecker struct {
	wechat    *wechat.Client
	component config.Component
	token     secret.Text
	asked     time.Time
	listed    map[string]wechat.Authorizer
}

// check compares the rows with what WeChat shows, platform by platform.
func (r *importRows) check(ctx context.Context, c config.Config, o importOptions, importer *broker.Importer) error {
	own := &dial.OwnAddresses{}
	way, err := newProxy(c, own)
	if err != nil {
		return err
	}
	client, err := newWeChat(c, dial.Options{Resolver: c.Upstream.Resolver, Own: own, Proxy: way})
	if err != nil {
		return err
	}
	for _, component := range c.Components {
		rows := r.refreshTokensOf(component.AppID)
		if len(rows) == 0 {
			continue
		}
		k := &importChecker{wechat: client, component: component, asked: importer.Now(), listed: map[string]wechat.Authorizer{}}
		if err := k.readList(ctx, r.componentTokens(ctx, component, o, importer, client)); err != nil {
			return fmt.Errorf("component %s: %w", component.AppID, err)
		}
		for _, row := range rows {
			if err := k.compare(ctx, row); err != nil {
				return fmt.Errorf("component %s: %w", component.AppID, err)
			}
		}
		for _, row := range rows {
			delete(k.listed, row.AppID)
		}
		r.missing += len(k.listed)
	}
	return nil
}

// refreshTokensOf returns the rows of a platform that can be imported.
func (r *importRows) refreshTokensOf(component string) (rows []*importRow) {
	for _, row := range r.rows {
		if row.Kind == imports.KindRefreshToken && row.Component == component && row.Result == "" {
			rows = append(rows, row)
		}
	}
	return rows
}

// tokenGetter returns an access token of a platform; none where there is none to try.
type tokenGetter func() (secret.Text, error)

// componentTokens are the access tokens to try, in order: that of the old system, that of the
// store, and with --fetch-token a new one.
func (r *importRows) componentTokens(ctx context.Context, component config.Component, o importOptions, importer *broker.Importer, client *wechat.Client) []tokenGetter {
	var all []tokenGetter
	for _, f := range r.tokens {
		if f.Fault == "" && f.Component == component.AppID && (f.Dies.IsZero() || f.Dies.After(o.now())) {
			all = append(all, func() (secret.Text, error) { return f.Value, nil })
		}
	}
	all = append(all, func() (secret.Text, error) {
		token, _ := importer.ComponentToken(ctx, component.AppID)
		return token, nil
	})
	if !o.fetchToken {
		return all
	}
	return append(all, func() (secret.Text, error) {
		ticket, ok := r.newestTicket(component.AppID)
		if !ok {
			ticket, ok = importer.Ticket(ctx, component.AppID)
		}
		if !ok {
			return secret.Text{}, errors.New("--fetch-token needs a component_verify_ticket, and neither the source nor the store has one")
		}
		grant, err := client.ComponentToken(ctx, component.AppID, component.Secret, ticket)
		return grant.Token, err
	})
}

// newestTicket returns the ticket of a platform that was pushed last, or one of unknown age.
func (r *importRows) newestTicket(component string) (ticket secret.Text, ok bool) {
	var at time.Time
	for _, row := range r.rows {
		if row.Kind == imports.KindTicket && row.Component == component && row.Result == "" && (!ok || row.finding.At.After(at)) {
			ticket, at, ok = row.finding.Value, row.finding.At, true
		}
	}
	return ticket, ok
}

// errNoComponentToken says what to do where WeChat cannot be asked.
var errNoComponentToken = errors.New("WeChat cannot be asked, as neither the source nor the store has a component_access_token that lives\n" +
	"hint: stop the old system, and add --fetch-token; or leave --check out: serve compares everything with WeChat's list itself")

// readList reads the whole list with the first token that WeChat takes.
func (k *importChecker) readList(ctx context.Context, tokens []tokenGetter) error {
	failed := errNoComponentToken
	for _, get := range tokens {
		token, err := get()
		if err != nil {
			return err
		}
		if token.IsZero() {
			continue
		}
		k.token = token
		switch err := k.readPages(ctx); wechat.Code(err) {
		case 0:
			return err
		case wechat.CodeInvalidCredential, wechat.CodeInvalidToken, wechat.CodeTokenExpired:
			failed = fmt.Errorf("%w (one was refused: %w)", errNoComponentToken, err)
		default:
			return err
		}
	}
	return failed
}

func (k *importChecker) readPages(ctx context.Context) error {
	for offset := 0; ; {
		page, err := k.wechat.AuthorizerList(ctx, k.component.AppID, k.token, offset)
		if err != nil {
			return err
		}
		for _, a := range page.Authorizers {
			k.listed[a.AppID] = a
		}
		if offset += page.Len(); page.Len() == 0 || offset >= page.Total {
			return nil
		}
	}
}

// compare notes whether WeChat shows what the row has. What the list does not show is asked for
// by itself.
func (k *importChecker) compare(ctx context.Context, row *importRow) error {
	shown := k.listed[row.AppID]
	if shown.RefreshToken.IsZero() {
		at := shown.AuthorizedAt
		var err error
		shown, err = k.wechat.AuthorizerInfo(ctx, k.component.AppID, k.token, row.AppID)
		switch {
		case wechat.Code(err) == wechat.CodeNotAuthorized:
			row.Result = resultUnlisted
			return nil
		case wechat.Code(err) == wechat.CodeInvalidAppID: // an account that is no more
			row.Result, row.Note = resultUnlisted, "WeChat does not know the appid (40013): not imported"
			return nil
		case err != nil:
			return fmt.Errorf("merchant %s: %w", row.AppID, err)
		}
		shown.AuthorizedAt = at
	}
	switch {
	case shown.RefreshToken.IsZero():
		row.Note = "WeChat shows no refresh token for it"
		return nil
	case !shown.RefreshToken.Equal(row.finding.Value):
		row.Result, row.finding.Value = resultStale, shown.RefreshToken
	}
	row.listed = k.asked
	if !shown.AuthorizedAt.IsZero() {
		row.finding.At = shown.AuthorizedAt
		row.At = &row.finding.At
	}
	return nil
}
