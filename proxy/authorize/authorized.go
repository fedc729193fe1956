package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// infoTime is how long the account's name and picture may take. The page goes without them.
const infoTime = 4 * time.Second

// result is what a merchant has authorised.
type result struct {
	account wechat.Authorizer
	// api says that the account may call APIs at all.
	api bool
	// avatar is the account's picture, on a host of WeChat's; nil for none.
	avatar *url.URL
	// state is the app's, landing where the merchant goes on to; "" for nowhere.
	state, landing string
}

// authorized serves the page to which WeChat leads back.
func (p *Pages) authorized(w http.ResponseWriter, r *http.Request) {
	v := p.visitor(r)
	if r.Method == http.MethodHead { // it must not spend a code
		setHeaders(w, v, policy{})
		return
	}
	code, request, failed := p.admit(r, v)
	if failed != nil {
		p.fail(w, v, pageAuthorized, failed)
		return
	}
	if wait, everybodys := p.exchanges.take(v.component, v.address, p.broker.Now()); wait > 0 {
		p.fail(w, v, pageAuthorized, tooMany(wait, everybodys))
		return
	}
	exchange, err := p.exchange(r.Context(), v.component, code)
	if err != nil {
		failed = brokerFailure(err)
		failed.again = request.query()
		p.fail(w, v, pageAuthorized, failed)
		return
	}
	res := result{account: exchange.Authorizer, api: !exchange.Grant.Token.IsZero() || !exchange.Authorizer.RefreshToken.IsZero(), state: request.State}
	res.landing = p.landing(v.component, res.account.AppID, request.State, p.broker.Now())
	p.log.Info("merchant authorised on the page", "component", v.component, "authorizer", res.account.AppID)
	p.metrics.AuthorizationPage(pageAuthorized, "ok")
	if res.landing != "" && !v.json {
		setHeaders(w, v, policy{})
		w.Header().Set("Location", res.landing)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	p.describe(r.Context(), v, &res)
	p.writeResult(w, v, res)
}

// admit reads the redirect's query. It returns the auth_code, and what the visit asked for,
// if they belong to this browser.
func (p *Pages) admit(r *http.Request, v *visitor) (code string, request Request, failed *failure) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["state"]) > 1 || len(query["auth_code"]) > 1 {
		return "", Request{}, badRequest(errors.New("the query cannot be read, or gives state or auth_code twice"))
	}
	state, err := p.states.verify(v.component, v.browser, query.Get("state"), p.broker.Now())
	code = query.Get("auth_code")
	switch {
	case err != nil:
		failed = stateFailure(err)
	case !wechat.ValidToken(code):
		failed = &failure{status: http.StatusBadRequest, name: "no_code", err: errors.New("auth_code is missing, or can be none")}
	default:
		if err := p.states.spend(state, code, p.broker.Now()); err != nil {
			failed = stateFailure(err)
		}
	}
	if failed != nil {
		failed.again = state.request.query()
	}
	return code, state.request, failed
}

func (p *Pages) exchange(ctx context.Context, component, code string) (wechat.Exchange, error) {
	answer, err := p.broker.QueryAuth(ctx, component, secret.New(code))
	if err != nil {
		return wechat.Exchange{}, err
	}
	return wechat.ReadExchange(answer)
}

// describe asks for the account's name and picture.
func (p *Pages) describe(ctx context.Context, v *visitor, res *result) {
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	info, err := p.broker.AuthorizerInfo(ctx, v.component, res.account.AppID)
	if err != nil {
		p.log.Warn("the page of an authorization goes without the account's name", "component", v.component, "authorizer", res.account.AppID, "error", err)
		return
	}
	res.account.Name, res.account.MiniProgram = info.Name, info.MiniProgram
	res.avatar = avatarURL(info.Avatar)
}

// avatarURL returns a picture's address, by https, if it is on a host of WeChat's pictures;
// else nil. A browser is sent to no other.
func avatarURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Port() != "" || !strings.HasSuffix(u.Host, ".qlogo.cn") {
		return nil
	}
	if strings.ContainsFunc(u.Host, func(c rune) bool { return c != '.' && c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') }) {
		return nil // it will stand in a header
	}
	u.Scheme = "https"
	return u
}
