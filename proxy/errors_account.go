package proxy

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Faults about the account of a call, and about secrets that are not configured.

func noAccount() *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "no_account", errcode: errcodeAppID,
		message: "cannot tell which account this call is for: name its appid in the header X-Wechat-Appid, " +
			"as a path prefix (/wx0123456789abcdef/cgi-bin/...), as from_appid in the query, " +
			"by the handle that /cgi-bin/token gave for it, or set apps.default_appid",
	}
}

// blankValue refuses an appid or a key, which is what, that is given under name and is blank.
func blankValue(what, name string) *fault {
	f := badRequest(name + " holds no " + what + ", perhaps from a variable that is not set: give the " + what + ", or leave it out")
	if what == "appid" {
		f.errcode = errcodeAppID
	}
	return f
}

// unnamedComponent is the fault of a call that takes a component's token and does not say
// whose, where several are configured. bodyMayName is true
// where the body may name it.
func unnamedComponent(bodyMayName bool) *fault {
	query, body := "in the query", "; the body is not looked at for this path"
	if bodyMayName {
		query, body = "in the query or the body", ""
	}
	return &fault{
		status: fasthttp.StatusBadRequest, code: "no_account", errcode: errcodeAppID,
		message: "this path takes a component's token, and the call does not say which component's: name its appid in the header " +
			"X-Wechat-Component or X-Wechat-Appid, as component_appid " + query + ", or by the handle that api_component_token gave for it, " +
			"or name one of its accounts in X-Wechat-Appid" + body,
	}
}

// noComponent is the fault of a call that takes a component's token where none is configured.
func noComponent() *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "no_account", errcode: errcodeAppID,
		message: "this path takes a component's token, and no component is configured: add yours to components",
	}
}

func unknownAccount(appid string) *fault {
	return &fault{
		status: fasthttp.StatusNotFound, code: "unknown_account", errcode: errcodeAppID,
		message: "nobody knows the account " + appid + ", which is neither configured nor has authorised the component: " +
			"compare the appid with the one in WeChat's console; let the merchant authorise; an account of your own, add it to accounts" + originalIDHint(appid),
	}
}

// originalIDHint explains an original id, which is often taken for an appid.
func originalIDHint(appid string) string {
	if !strings.HasPrefix(appid, "gh_") {
		return ""
	}
	return " (gh_... is the account's 原始ID, its original id; an appid begins with wx)"
}

// notComponent is the fault of a call that names appid where a component is expected.
func notComponent(appid string) *fault {
	f := unknownAccount(appid)
	f.message = appid + " is none of the sidecar's components: compare it with components in the configuration"
	return f
}

// ambiguousComponent is the fault of a call for a merchant of several components that does
// not say which is meant.
func ambiguousComponent(e *broker.AmbiguousError) *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "ambiguous_component", errcode: errcodeAppID,
		message: e.AppID + " has authorised several components, and the call does not say which is meant, " +
			strings.Join(e.Components, " or ") + ": name one in the header X-Wechat-Component, as component_appid in the query, " +
			"or by the handle that /cgi-bin/token gave for it, or set apps.default_component or the caller's components",
	}
}

// differentComponents is the fault of a call that names two components.
func differentComponents(one, other string) *fault {
	f := badRequest("the call names two components, " + one + " and " + other + ": its handle, the header X-Wechat-Component, " +
		"component_appid and the account that it names must mean the same")
	f.errcode = errcodeAppID
	return f
}

// notAuthorised is the fault of a merchant that has not authorised the component that the
// call names.
func notAuthorised(appid, component string) *fault {
	f := unknownAccount(appid)
	f.message = "the account " + appid + " has not authorised component " + component + ": name another one, or let the merchant authorise this one"
	return f
}

// ownAccount is the fault of an account that acts through no component, where the call names
// one.
func ownAccount(appid, component string) *fault {
	f := badRequest(appid + " stands in accounts and acts through no component, and the call names the component " + component + ": leave that out")
	f.errcode = errcodeAppID
	return f
}

// notAuthorizer is the fault of a call that names a component where an authorizer is
// expected.
func notAuthorizer(appid string) *fault {
	f := unknownAccount(appid)
	f.message = appid + " is a component, and no authorizer: give the merchant's appid as authorizer_appid, " +
		"or fetch the component's token from /cgi-bin/component/api_component_token"
	return f
}

// noSecret refuses a call that needs a secret which is not configured.
func noSecret(field, appid string) *fault {
	f := &fault{status: fasthttp.StatusBadRequest, code: "no_secret", errcode: errcodeAppID}
	if appid == "" {
		f.message = field + " is missing: give it in the query or in the body"
		return f
	}
	f.message = "no AppSecret is configured for " + appid + ", and this call needs one: for an account that authorised " +
		"the component use the component's form of the call, such as /cgi-bin/component/clear_quota/v2"
	return f
}

// componentAsked refuses a component where the token of an account is fetched.
func componentAsked(appid string) *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "bad_request", errcode: wechat.CodeUseComponentAPI,
		message: appid + " is a component: its token comes from /cgi-bin/component/api_component_token",
	}
}

// noPageTickets refuses tickets for pages with a component's token: a component has none.
func noPageTickets() *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "bad_request", errcode: errcodeAppID,
		message: "component_access_token names a component's token, and only accounts have tickets for pages: " +
			"name the account, and send its token as access_token",
	}
}
