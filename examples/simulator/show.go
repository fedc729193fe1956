package main

import (
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// requestView is one record as JSON.
type requestView struct {
	At         time.Time       `json:"at"`
	Method     string          `json:"method"`
	Host       string          `json:"host"`
	URI        string          `json:"uri"`
	Path       string          `json:"path"`
	Header     http.Header     `json:"header"`
	Body       string          `json:"body"`
	BodySize   int64           `json:"body_size"`
	BodySHA256 string          `json:"body_sha256"`
	TokenKind  wechattest.Kind `json:"token_kind"`
	TokenAppID string          `json:"token_appid"`
	Generation uint64          `json:"token_generation"`
	AppID      string          `json:"appid"`
	Status     int             `json:"status"`
	Errcode    int             `json:"errcode"`
	Fault      wechattest.Mode `json:"fault"`
}

// requests shows the last records, newest last: ?path= and ?appid= narrow,
// ?limit= bounds (default 100).
func (k control) requests(r *http.Request) (any, error) {
	limit, err := limitOf(r, 1)
	if err != nil {
		return nil, err
	}
	path, appID := r.FormValue("path"), r.FormValue("appid")
	views := []requestView{}
	for _, q := range k.s.Requests() {
		if path != "" && q.Path != path || appID != "" && q.AppID != appID {
			continue
		}
		views = append(views, viewOf(q))
	}
	return map[string]any{
		"calls":    k.s.Calls(path),
		"requests": views[max(0, len(views)-limit):],
	}, nil
}

func viewOf(q wechattest.Request) requestView {
	return requestView{
		At: q.At, Method: q.Method, Host: q.Host, URI: q.URI, Path: q.Path, Header: q.Header,
		Body: string(q.Body), BodySize: q.BodySize, BodySHA256: q.BodySHA256,
		TokenKind: q.TokenKind, TokenAppID: q.TokenAppID, Generation: q.TokenGeneration,
		AppID: q.AppID, Status: q.Status, Errcode: q.Errcode, Fault: q.Fault,
	}
}

func (k control) forget(*http.Request) (any, error) {
	k.s.Forget()
	return nil, nil
}

func (k control) violations(*http.Request) (any, error) {
	return append([]string{}, k.s.Violations()...), nil
}

func (k control) pushes(*http.Request) (any, error) {
	return append([]wechattest.PushRecord{}, k.s.Pushes()...), nil
}

func (k control) secrets(*http.Request) (any, error) { return k.s.Secrets(), nil }

// keyView says of one appid what it was given.
type keyView struct {
	AppID  string `json:"appid"`
	Token  string `json:"token"`
	Issued int    `json:"issued"`
}

func (k control) keyView(appID string) keyView {
	return keyView{appID, k.s.CurrentToken(appID), k.s.TokensIssued(appID)}
}

// state shows components, authorizers and accounts with their living tokens;
// ?limit= bounds the authorizers (default 100).
func (k control) state(r *http.Request) (any, error) {
	limit, err := limitOf(r, 0)
	if err != nil {
		return nil, err
	}
	components := []map[string]any{}
	for _, id := range k.s.Components() {
		all := k.s.Authorizers(id)
		shown := []keyView{}
		for _, a := range all[:min(limit, len(all))] {
			shown = append(shown, k.keyView(a))
		}
		components = append(components, map[string]any{
			"component": k.keyView(id), "ticket_wanted": k.s.TicketWanted(id),
			"authorizers_total": len(all), "authorizers": shown,
		})
	}
	accounts := []keyView{}
	for _, id := range k.s.Accounts() {
		accounts = append(accounts, k.keyView(id))
	}
	return map[string]any{
		"components": components, "accounts": accounts, "calls": k.s.Calls(""),
		"violations": len(k.s.Violations()),
	}, nil
}
