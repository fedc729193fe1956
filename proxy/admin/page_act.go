package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker"
)

// pageActs are the operations that the page offers. What ends the sidecar, or takes away what
// an authorization gave, is left to those who type it.
var pageActs = []string{
	"components/{appid}/renew", "components/{appid}/reconcile", "components/{appid}/ticket/start", "components/{appid}/link",
	"accounts/{appid}/renew", "budgets/reset", "dead-letters/redeliver", "dead-letters/{id}/redeliver", "reload",
}

// notice says what came of an act. Its text is not of the page's language but of its own:
// English, and WeChat's.
type notice struct {
	bad               bool
	title, text, link string
}

// act does what a form of the page asks for. A success leads back to the page, so that loading
// it again acts on nothing; what there is more to say of is answered at once.
func (a *api) act(w http.ResponseWriter, r *http.Request, words *pageWords, parts []string) {
	if !fromOwnPage(r) {
		a.Log.Warn("an admin call was refused", "remote", remote(r), "method", r.Method, "path", clip(r.URL.EscapedPath()), "error", "not from the page")
		writeError(w, fault(http.StatusForbidden, "browser_refused", "the forms are for browsers that look at the page: neither Origin nor Sec-Fetch-Site came along; programs call %s", prefix))
		return
	}
	o := a.pageAct(r, parts)
	if o == nil {
		writeError(w, fault(http.StatusNotFound, "not_found", "the page has no such form; %sopenapi.yaml lists all operations", prefix))
		return
	}
	if err := r.ParseForm(); err != nil {
		writeError(w, fault(http.StatusBadRequest, "bad_request", "the form cannot be read: send it again"))
		return
	}
	answer, err := a.do(r, o)
	if err == nil {
		if said := noticeFor(answer, words); said != nil {
			a.showPage(w, r, words, http.StatusOK, said)
			return
		}
		http.Redirect(w, r, done(r, o), http.StatusSeeOther)
		return
	}
	e := errorOf(err)
	a.showPage(w, r, words, e.status, &notice{bad: true, title: words.failed, text: e.Message})
}

// fromOwnPage reports whether the browser says that the form is one of the page's. The guard has
// refused what says that it is another's.
func fromOwnPage(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

// pageAct returns the operation that a form asks for, nil for none of the page's.
func (a *api) pageAct(r *http.Request, parts []string) *route {
	for i := range a.routes {
		o := &a.routes[i]
		if o.method == http.MethodPost && slices.Contains(pageActs, o.path) && o.match(r, parts) {
			return o
		}
	}
	return nil
}

// noticeFor says what is to be said of an answer at once; nil where the page has it anyway.
func noticeFor(answer any, w *pageWords) *notice {
	switch answer := answer.(type) {
	case Renewed:
		if t := answer.Trouble; t != nil {
			return &notice{bad: true, title: w.failed, text: t.Reason}
		}
		if answer.State != broker.StateLive.String() {
			return &notice{bad: true, title: w.failed, text: answer.Reason}
		}
	case Link:
		return &notice{title: w.linkTitle, link: answer.URL}
	case ReloadResult:
		if !answer.Applied {
			return &notice{bad: true, title: w.failed, text: strings.Join(answer.Faults, "; ")}
		}
	}
	return nil
}

// done returns where a success leads: the page as it was, and what was done.
func done(r *http.Request, o *route) string {
	back, _ := url.ParseQuery(r.PostForm.Get("back")) // what cannot be read is not gone back to
	q := shown(back)
	q.Set("did", o.path[strings.LastIndexByte(o.path, '/')+1:])
	if appID := r.PathValue("appid"); isPlain(appID) {
		q.Set("of", appID)
	}
	return "/?" + q.Encode()
}

// doneNotice says what a form has just done, as its redirect tells; nil for nothing. Whoever
// makes such a link has these words and an appid to choose from.
func doneNotice(r *http.Request, w *pageWords) *notice {
	q := r.URL.Query()
	title := w.did[q.Get("did")]
	if title == "" {
		return nil
	}
	if of := q.Get("of"); isPlain(of) {
		title += " · " + of
	}
	return &notice{title: title}
}

// isPlain reports whether a text is like an appid.
func isPlain(text string) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return text != "" && len(text) <= 40
}

// shown returns of a query what says which accounts the page shows.
func shown(q url.Values) url.Values {
	kept := url.Values{}
	for _, name := range []string{"q", "state", "cursor"} {
		if value := q.Get(name); value != "" {
			kept.Set(name, value)
		}
	}
	return kept
}
