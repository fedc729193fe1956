package admin

import (
	"bytes"
	"context"
	_ "embed" // the page's style and script
	"net/http"
	"strings"

	"github.com/wxsidecar/wxsidecar/proxy/language"
)

// The page's style and its script, which refreshes it. The page does without either.
var (
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// pagePolicy lets the page load its own style and script, refresh itself, and send forms home.
// Nothing that stands in the page itself is run.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// acts is where the forms of the page go: acts and then the path of an operation.
const acts = "/act/"

// servePage answers what belongs to the page for people.
func (a *api) servePage(w http.ResponseWriter, r *http.Request) {
	act, isAct := strings.CutPrefix(r.URL.Path, acts)
	switch {
	case r.URL.Path == "/page.css":
		servePart(w, r, "text/css; charset=utf-8", pageStyle)
	case r.URL.Path == "/page.js":
		servePart(w, r, "text/javascript; charset=utf-8", pageScript)
	case isAct && r.Method == http.MethodPost:
		a.act(w, r, wordsFor(w, r), strings.Split(act, "/"))
	case isAct && isRead(r): // somebody loads the answer to a form again
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case r.URL.Path != "/" && !isAct:
		writeError(w, fault(http.StatusNotFound, "not_found", "there is no such path; / has the page, and %sopenapi.yaml lists what there is beside it", prefix))
	case isAct:
		writeError(w, methodNotAllowed(w, r, "GET, HEAD, POST"))
	case !isRead(r):
		writeError(w, methodNotAllowed(w, r, "GET, HEAD"))
	default:
		words := wordsFor(w, r)
		a.showPage(w, r, words, http.StatusOK, doneNotice(r, words))
	}
}

func servePart(w http.ResponseWriter, r *http.Request, contentType, text string) {
	if !isRead(r) {
		writeError(w, methodNotAllowed(w, r, "GET, HEAD"))
		return
	}
	reply(w, http.StatusOK, contentType, text)
}

// languageCookie keeps the language that was chosen on the page.
const languageCookie = "wxsidecar-language"

// wordsFor returns the words in the language that was chosen, or that the browser likes, and
// has the browser keep a choice that is made now.
func wordsFor(w http.ResponseWriter, r *http.Request) *pageWords {
	tag := r.URL.Query().Get("lang")
	if c, err := r.Cookie(languageCookie); err == nil && tag == "" {
		tag = c.Value
	} else if tag == language.Chinese || tag == language.English {
		http.SetCookie(w, &http.Cookie{
			Name: languageCookie, Value: tag, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	if tag != language.Chinese && tag != language.English {
		tag = language.Preferred(r.Header.Get("Accept-Language"))
	}
	if tag == language.Chinese {
		return &pageChinese
	}
	return &pageEnglish
}

// showPage writes the page, under a notice of what was just done; nil for none.
func (a *api) showPage(w http.ResponseWriter, r *http.Request, words *pageWords, status int, said *notice) {
	leave, err := a.enter()
	if err != nil {
		writeError(w, err)
		return
	}
	defer leave()
	v := a.view(r, words)
	v.notice = said
	var b bytes.Buffer
	if err := statusPage(v).Render(context.Background(), &b); err != nil { // a buffer takes all
		writeError(w, err)
		return
	}
	if v.badQuery && status == http.StatusOK {
		status = http.StatusBadRequest
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Language", v.w.tag)
	h.Set("Vary", "Accept-Language, Cookie")
	h.Set("Referrer-Policy", "same-origin") // with less, browsers hide the Origin of forms
	reply(w, status, "text/html; charset=utf-8", b.String())
}
