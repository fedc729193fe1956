package authorize

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"
)

// The pages' names in metrics.
const (
	pageAuthorize  = "authorize"
	pageAuthorized = "authorized"
)

//go:embed style.css
var style string

// policy is what a page may load beside its own text.
type policy struct {
	// style is the text of its style element; "" for none.
	style string
	// image is the picture that it shows; nil for none.
	image *url.URL
}

func (p policy) String() string {
	text := "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if p.style != "" {
		sum := sha256.Sum256([]byte(p.style))
		text += "; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	if p.image != nil {
		text += "; img-src https://" + p.image.Host
	}
	return text
}

// setHeaders sets what every answer has. WeChat checks that it is called from the
// component's domain, and landing pages need not see codes: Referer has the origin alone.
func setHeaders(w http.ResponseWriter, v *visitor, p policy) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if v.json {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Language", v.words.tag)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.String())
	h.Set("Referrer-Policy", "origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// writeInvitation writes the page that leads to WeChat. Its link gives way to one for a new
// page at nine tenths of its life, as WeChat takes some time too.
func (p *Pages) writeInvitation(w http.ResponseWriter, v *visitor, i invitation) {
	if v.json {
		writeJSON(w, v, http.StatusOK, map[string]any{
			"component_appid": v.component, "auth_type": i.request.AuthType, "authorize_url": i.links.of(v),
			"pc_url": i.links.pc, "phone_url": i.links.phone, "page_url": i.pageURL, "expires_in": int(i.life.Seconds()),
		})
		return
	}
	var code *qrCode
	if !v.wechat || !v.phone {
		c, err := newQRCode(i.pageURL)
		if err != nil { // push.public_url is very long
			p.log.Warn("the page goes without a QR code", "component", v.component, "error", err)
		} else {
			code = &c
		}
	}
	shown := i.life * 9 / 10
	css := style + fmt.Sprintf("#go,#valid{animation:hide 1ms %ds forwards}#renew{animation:show 1ms %ds forwards}", int(shown.Seconds()), int(shown.Seconds()))
	minutes := max(1, int(shown/time.Minute))
	p.writePage(w, v, http.StatusOK, policy{style: css}, invitationPage(v, i, code, minutes, css))
}

// writeResult writes the page that tells what was authorised.
func (p *Pages) writeResult(w http.ResponseWriter, v *visitor, res result) {
	if v.json {
		rights := []int64{}
		for _, r := range res.account.Rights {
			rights = append(rights, r.ID)
		}
		avatar := ""
		if res.avatar != nil {
			avatar = res.avatar.String()
		}
		writeJSON(w, v, http.StatusOK, map[string]any{
			"component_appid": v.component, "appid": res.account.AppID, "name": res.account.Name, "avatar": avatar,
			"mini_program": res.account.MiniProgram, "func_info": rights, "api": res.api, "state": res.state, "landing_url": res.landing,
		})
		return
	}
	p.writePage(w, v, http.StatusOK, policy{style: style, image: res.avatar}, resultPage(v, res))
}

// fail writes why there is no page, and logs and counts it.
func (p *Pages) fail(w http.ResponseWriter, v *visitor, page string, f *failure) {
	p.metrics.AuthorizationPage(page, f.name)
	p.log.Warn("authorization page not served", "page", page, "component", v.component, "address", v.address.String(), "cause", f.name, "error", f.err)
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	text := v.words.failures[f.name]
	if v.json {
		writeJSON(w, v, f.status, map[string]any{"error": f.name, "message": text.text, "errcode": f.errcode, "parameter": f.parameter})
		return
	}
	p.writePage(w, v, f.status, policy{style: style}, failurePage(v, f, page))
}

func (p *Pages) writePage(w http.ResponseWriter, v *visitor, status int, allowed policy, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil { // a buffer takes all
		p.log.Error("a page could not be written", "error", err)
		status = http.StatusInternalServerError
	}
	setHeaders(w, v, allowed)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the visitor has left if it fails
}

func writeJSON(w http.ResponseWriter, v *visitor, status int, value map[string]any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the addresses are full of &
	_ = enc.Encode(value)    // maps of texts, numbers and bools have an encoding
	setHeaders(w, v, policy{})
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))) // the visitor has left if it fails
}
