// Package authorize serves the two pages on which a merchant authorises a component: the
// one that leads to WeChat, and the one to which WeChat leads back.
//
// WeChat's own authorization page wants to be opened from a page on the component's domain
// (it checks the Referer) with a pre_auth_code, and redirects to an address on that domain
// with an auth_code. So the first page fetches a pre_auth_code, and has a link and a QR code.
// The link leads to WeChat. The code leads to the page itself, for a phone. The second page
// exchanges the auth_code and says in plain words what came of it.
//
// # What a stranger could try
//
// An auth_code that somebody plants, by a link to the second page with a code of his own
// account, would connect that account to whoever follows the link. So the redirect carries
// a state that only the browser which opened the first page can use: it is authenticated
// together with a random cookie of that browser, ends with its pre_auth_code, and is good
// for one auth_code. A page that is loaded again brings the same code, and is answered
// from the exchange that was made.
//
// Visitors could use up WeChat's quotas for pre_auth_codes and exchanges. So each address and
// each component has a limit for either page, and an exchange needs a state from the first.
//
// The pages have no script, load nothing but the merchant's picture from WeChat, and send
// the browser nowhere but to WeChat and to the configured landing URL.
//
// Where everything is: authorize.go and authorized.go are the two pages, request.go reads
// what is asked for, visitor.go who asks, state.go binds the two pages together, limit.go
// bounds them, link.go and landing.go make addresses, failure.go and words*.go say what
// went wrong and in which language, render.go and pages.templ write HTML and JSON.
//
// See https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Authorization_Process_Technical_Description.html
//
// The package makes no API promise outside this module.
package authorize
