package wechattest

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// maxOffered is how many accounts the page offers; any other can be typed in.
const maxOffered = 20

// writePage shows the accounts to choose from. The page has no script, so that any browser
// and any test can use it.
func writePage(w http.ResponseWriter, appIDs []string) {
	var b strings.Builder
	b.WriteString("<h1>WeChat (simulated): authorise a platform</h1>\n")
	for _, appID := range appIDs {
		fmt.Fprintf(&b, "<form method=\"post\"><button name=\"appid\" value=\"%[1]s\">%[1]s</button></form>\n", html.EscapeString(appID))
	}
	b.WriteString("<form method=\"post\"><label>Another account: <input name=\"appid\" placeholder=\"wx…\"></label> <button>Authorise</button></form>\n")
	writeHTML(w, http.StatusOK, b.String())
}

// writePageError shows why WeChat refuses. As WeChat's, its status is 200.
func writePageError(w http.ResponseWriter, err error) {
	writeHTML(w, http.StatusOK, "<h1>WeChat (simulated): cannot authorise</h1>\n<p id=\"error\">"+html.EscapeString(err.Error())+"</p>\n")
}

func writeHTML(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\"><title>WeChat (simulated)</title>\n<body>\n%s</body></html>\n", body)
}

// FollowLink does what a merchant does with a browser: it opens the authorization page link
// from the page referer, chooses the account appID, and returns the URL that the browser is
// sent back to. The error is what the page shows instead.
func (s *Server) FollowLink(link, referer, appID string) (landing string, err error) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r := httptest.NewRequest(method, link, strings.NewReader(url.Values{"appid": {appID}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Referer", referer)
		w := httptest.NewRecorder()
		s.servePage(w, r)
		landing = w.Header().Get("Location")
		if _, refusal, refused := strings.Cut(w.Body.String(), `<p id="error">`); refused {
			refusal, _, _ = strings.Cut(refusal, "</p>")
			return "", fmt.Errorf("the authorization page says: %s", html.UnescapeString(refusal))
		}
	}
	return landing, nil
}
