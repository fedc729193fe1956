package authorize

import (
	"errors"
	"net/http"
	"time"
)

// invitation is the page that leads to WeChat.
type invitation struct {
	request Request
	// life is how long its links are good.
	life    time.Duration
	links   links
	pageURL string
}

// authorize serves the page that leads to WeChat.
func (p *Pages) authorize(w http.ResponseWriter, r *http.Request) {
	v := p.visitor(r)
	request, err := readRequest(r.URL.RawQuery)
	switch {
	case err != nil:
		p.fail(w, v, pageAuthorize, badRequest(err))
		return
	case r.Method == http.MethodHead: // it must cost no pre_auth_code
		setHeaders(w, v, policy{})
		return
	}
	if v.embedded {
		p.fail(w, v, pageAuthorize, &failure{status: http.StatusForbidden, name: "embedded", err: errors.New("another site, or a prefetch, has the browser load the page unseen")})
		return
	}
	if wait, everybodys := p.limits.take(v.component, v.address, p.broker.Now()); wait > 0 {
		p.fail(w, v, pageAuthorize, tooMany(wait, everybodys))
		return
	}
	code, life, err := p.broker.PreAuthCode(r.Context(), v.component)
	if err != nil {
		p.fail(w, v, pageAuthorize, brokerFailure(err))
		return
	}
	if v.browser == "" {
		v.browser = newBrowser()
	}
	http.SetCookie(w, p.cookie(v.browser))
	state := p.states.issue(v.component, v.browser, request, p.broker.Now().Add(life+codeTime))
	p.metrics.AuthorizationPage(pageAuthorize, "ok")
	p.writeInvitation(w, v, invitation{
		request: request, life: life, links: p.links(v.component, code.Reveal(), state, request),
		pageURL: PageURL(p.publicURL, v.component, request),
	})
}

// cookie names a browser to the second page. It is sent with the redirect from WeChat, which
// SameSite=Strict would prevent, and goes when the browser is closed.
func (p *Pages) cookie(browser string) *http.Cookie {
	return &http.Cookie{Name: p.cookieName, Value: browser, Path: "/", HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode}
}
