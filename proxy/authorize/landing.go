package authorize

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// landing returns the address to which a merchant goes on, with the account, the app's state
// and a signature; "" if none is configured.
func (p *Pages) landing(component, appID, state string, now time.Time) string {
	if p.landingURL == "" {
		return ""
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	// The state comes last, as only it may hold a dot.
	signed := component + "." + appID + "." + timestamp + "." + state
	h := hmac.New(sha256.New, []byte(p.landingSecret.Reveal()))
	h.Write([]byte(signed))
	query := url.Values{
		"component_appid": {component}, "appid": {appID}, "timestamp": {timestamp}, "state": {state},
		"signature": {hex.EncodeToString(h.Sum(nil))},
	}.Encode()
	if strings.Contains(p.landingURL, "?") {
		return p.landingURL + "&" + query
	}
	return p.landingURL + "?" + query
}
