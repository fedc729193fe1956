package routes

import "strings"

// served are the paths that the sidecar does not simply forward, and how it treats
// them.
var served = map[string]string{
	"/cgi-bin/token":                             fromMemory,
	"/cgi-bin/stable_token":                      fromMemory,
	"/cgi-bin/component/api_component_token":     fromMemory,
	"/cgi-bin/component/api_authorizer_token":    fromMemory,
	"/cgi-bin/ticket/getticket":                  "jsapi and wx_card tickets are answered from memory and never forwarded",
	"/cgi-bin/component/api_query_auth":          "the sidecar exchanges the code itself, once, and keeps the answer; the app gets a handle and a placeholder",
	"/cgi-bin/component/api_get_authorizer_info": masked,
	"/cgi-bin/component/api_get_authorizer_list": masked,
	"/cgi-bin/clear_quota/v2":                    withSecret,
	"/cgi-bin/component/clear_quota/v2":          withSecret,
	"/cgi-bin/component/api_start_push_ticket":   withSecret,
	"/sns/jscode2session":                        withSecret + onBehalf + "/sns/component/jscode2session",
	"/sns/oauth2/access_token":                   withSecret + onBehalf + "/sns/oauth2/component/access_token",
	"/sns/oauth2/refresh_token":                  "passed on as it is" + onBehalf + "/sns/oauth2/component/refresh_token",
}

const (
	fromMemory = "answered from memory with a handle, for any placeholder as the secret, and never forwarded"
	masked     = "refresh tokens in the answer are kept, and the app gets placeholders"
	onBehalf   = "; for an account that has authorised a component it becomes that component's form of the call: "
	withSecret = "the configured secret is put in place of the one that the app sends"
)

// Explain says in a few lines how a call to path is treated and why. path may be a whole
// URL, may begin with an appid as calls may, and may have a query, whose action counts on
// paths that have actions.
func (t *Table) Explain(path string) string {
	path, query, _ := strings.Cut(path, "?")
	path = trimPath(path)
	r := t.Match([]byte(path)).For([]byte(query))
	text := path + " is matched by " + r.String()
	if base, _, _ := strings.Cut(r.Pattern, "?"); base == path {
		text = r.String()
	}
	if how := served[r.Pattern]; how != "" {
		text += "\n  served: " + how
	}
	return text
}

// trimPath removes scheme, host and an appid from the front of path, adds a missing slash
// there, and merges slashes.
func trimPath(path string) string {
	if _, rest, ok := strings.Cut(path, "://"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		path = "/" + rest
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	const prefix = len("/wx0123456789abcdef")
	if len(path) > prefix && path[prefix] == '/' && strings.HasPrefix(path, "/wx") && strings.Trim(path[3:prefix], "0123456789abcdef") == "" {
		path = path[prefix:]
	}
	return path
}
