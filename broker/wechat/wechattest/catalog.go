package wechattest

import "strings"

// Rule says which token a path takes and under which name.
type Rule string

// The rules. Every path without an exception has [RuleAccount].
const (
	// RuleAccount: an authorizer's or an own account's token in access_token.
	RuleAccount Rule = "account"
	// RuleComponent: the component's token, in component_access_token or in
	// access_token.
	RuleComponent Rule = "component"
	// RuleComponentName: the component's token, in component_access_token only.
	RuleComponentName Rule = "component_access_token"
	// RuleNone: no token.
	RuleNone Rule = "none"
	// RuleUser: a user's OAuth token in access_token.
	RuleUser Rule = "user"
	// RuleEither: an account's or the component's token.
	RuleEither Rule = "either"
)

// Exception is a path, with ?action=… for one action of it, or with a star at its
// end a prefix, that does not take an account's token.
type Exception struct {
	Path string
	Rule Rule
	// Doc is the page that says so, or the one nearest to the subject for paths
	// that WeChat no longer documents.
	Doc string
}

// Roots of WeChat's documentation.
const (
	docRoot    = "https://developers.weixin.qq.com/"
	docOpenAPI = docRoot + "doc/oplatform/openApi/OpenApiDoc/"
	docTicket  = docOpenAPI + "ticket-token/"
	docAuthz   = docOpenAPI + "authorization-management/"
	docDomain  = docOpenAPI + "thirdparty-management/domain-mgnt/"
	docDraft   = docOpenAPI + "thirdparty-management/template-management/"
	docOAuth   = docRoot + "doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Official_Accounts/official_account_website_authorization.html"
	docQuota   = docRoot + "doc/oplatform/openApi/openapi/"
	docBasics  = docRoot + "doc/offiaccount/Basic_Information/"
	docAMS     = docRoot + "doc/oplatform/openApi/ams/"
	docCloud   = docRoot + "doc/oplatform/Third-party_Platforms/2.0/api/cloudbase/"
)

// The exceptions, written down from WeChat's pages and deliberately not taken
// from the proxy's table, so that a slip in either shows.
var exceptions = [...]Exception{
	// The component's own affairs.
	{"/cgi-bin/component/api_create_preauthcode", RuleComponent, docTicket + "getPreAuthCode.html"},
	{"/cgi-bin/component/api_query_auth", RuleComponent, docTicket + "getAuthorizerRefreshToken.html"},
	{"/cgi-bin/component/api_authorizer_token", RuleComponent, docTicket + "getAuthorizerAccessToken.html"},
	{"/cgi-bin/component/api_get_authorizer_info", RuleComponent, docAuthz + "getAuthorizerInfo.html"},
	{"/cgi-bin/component/api_get_authorizer_list", RuleComponent, docAuthz + "getAuthorizerList.html"},
	{"/cgi-bin/component/fastregisterweapp", RuleComponent, docOpenAPI + "register-management/fast-registration-ent/registerMiniprogram.html"},
	{"/cgi-bin/component/modify_wxa_server_domain", RuleComponent, docDomain + "modifyThirdpartyServerDomain.html"},
	{"/cgi-bin/component/modify_wxa_jump_domain", RuleComponent, docDomain + "modifyThirdpartyJumpDomain.html"},
	{"/cgi-bin/component/get_domain_confirmfile", RuleComponent, docDomain + "getThirdpartyJumpDomainConfirmFile.html"},
	{"/cgi-bin/component/clear_quota", RuleComponent, docQuota + "clearQuota.html"},
	{"/wxa/component/*", RuleComponent, docOpenAPI + "register-management/"},
	{"/componenttcb/*", RuleComponent, docCloud},
	{"/wxa/gettemplatedraftlist", RuleComponent, docDraft + "getTemplatedRaftList.html"},
	{"/wxa/addtotemplate", RuleComponent, docDraft + "addToTemplate.html"},
	{"/wxa/gettemplatelist", RuleComponent, docDraft + "getTemplateList.html"},
	{"/wxa/deletetemplate", RuleComponent, docDraft + "deleteTemplate.html"},
	{"/wxa/security/applysetorderpathinfo", RuleComponent, docOpenAPI + "miniprogram-management/basic-info-management/applySetOrderPathInfo.html"},
	{"/wedata/wedata_get_login_config", RuleComponent, docOpenAPI},
	{"/wedata/wedata_set_login_config", RuleComponent, docOpenAPI},
	{"/product/register/register_shop", RuleComponent, docOpenAPI},
	{"/wxa/servicemarket/*", RuleComponent, docOpenAPI + "service-market/"},

	// The component's token under its own name only.
	{"/sns/component/jscode2session", RuleComponentName, docOpenAPI + "miniprogram-management/login/thirdpartyCode2Session.html"},
	{"/sns/oauth2/component/access_token", RuleComponentName, docOAuth},
	{"/sns/oauth2/component/refresh_token", RuleComponentName, docOAuth},

	// No token: a secret, a ticket or a code stands in its place.
	{"/cgi-bin/component/api_component_token", RuleNone, docTicket + "getComponentAccessToken.html"},
	{"/cgi-bin/component/api_start_push_ticket", RuleNone, docTicket + "startPushTicket.html"},
	{"/cgi-bin/component/clear_quota/v2", RuleNone, docQuota + "clearComponentQuotaByAppSecret.html"},
	{"/cgi-bin/clear_quota/v2", RuleNone, docQuota + "clearQuotaByAppSecret.html"},
	{"/cgi-bin/token", RuleNone, docBasics + "Get_access_token.html"},
	{"/cgi-bin/stable_token", RuleNone, docBasics + "getStableAccessToken.html"},
	{"/sns/jscode2session", RuleNone, docRoot + "miniprogram/dev/OpenApiDoc/user-login/code2Session.html"},
	{"/sns/oauth2/access_token", RuleNone, docRoot + "doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html"},
	{"/sns/oauth2/refresh_token", RuleNone, docRoot + "doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html"},

	// The user's own token.
	{"/sns/userinfo", RuleUser, docRoot + "doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html"},
	{"/sns/auth", RuleUser, docRoot + "doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html"},

	// Whoever asks.
	{"/cgi-bin/clear_quota", RuleEither, docQuota + "clearQuota.html"},
	{"/cgi-bin/openapi/quota/get", RuleEither, docQuota + "getApiQuota.html"},
	{"/cgi-bin/openapi/quota/clear", RuleEither, docQuota + "clearApiQuota.html"},
	{"/cgi-bin/openapi/rid/get", RuleEither, docQuota + "getRidInfo.html"},
	{"/cgi-bin/get_api_domain_ip", RuleEither, docBasics + "Get_the_WeChat_server_IP_address.html"},
	{"/cgi-bin/getcallbackip", RuleEither, docBasics + "Get_the_WeChat_server_IP_address.html"},
	{"/cgi-bin/callback/check", RuleEither, docBasics + "Network_Detection.html"},
	{"/cgi-bin/component/get_authorizer_option", RuleEither, docAuthz + "getAuthorizerOptionInfo.html"},
	{"/cgi-bin/component/set_authorizer_option", RuleEither, docAuthz + "setAuthorizerOptionInfo.html"},
	{"/cgi-bin/component/api_get_authorizer_option", RuleEither, docAuthz + "getAuthorizerOptionInfo.html"},
	{"/cgi-bin/component/api_set_authorizer_option", RuleEither, docAuthz + "setAuthorizerOptionInfo.html"},
	{"/tcb/modifyenv", RuleEither, docCloud},
	{"/tcb/invokecloudfunction", RuleEither, docRoot + "miniprogram/dev/wxcloud/reference-http-api/functions/invokeCloudFunction.html"},
	{"/tcb/usecloudaccesstoken", RuleEither, docCloud},
	{"/product/register/check_audit_status", RuleEither, docOpenAPI},
	// Here the action in the query decides; other actions take an account's.
	{"/wxa/setdefaultamsinfo?action=set_share_ratio", RuleComponent, docAMS + "percentage/api_setshareratio.html"},
	{"/wxa/setdefaultamsinfo?action=agency_set_custom_share_ratio", RuleComponent, docAMS + "percentage/api_setcustomshareratio.html"},
	{"/wxa/getdefaultamsinfo?action=get_share_ratio", RuleComponent, docAMS + "percentage/api_getshareratio.html"},
	{"/wxa/getdefaultamsinfo?action=agency_get_custom_share_ratio", RuleComponent, docAMS + "percentage/api_getcustomshareratio.html"},
	{"/wxa/getdefaultamsinfo?action=get_agency_settled_revenue", RuleComponent, docAMS + "settlement/api_getagencysettlement.html"},

	// Under the component's folder, yet an account's: the folder is no rule.
	{"/cgi-bin/component/setprivacysetting", RuleAccount, docOpenAPI + "privacy-api-management/setPrivacySetting.html"},
	{"/cgi-bin/component/getprivacysetting", RuleAccount, docOpenAPI + "privacy-api-management/getPrivacySetting.html"},
	{"/cgi-bin/component/uploadprivacyextfile", RuleAccount, docOpenAPI + "privacy-api-management/uploadPrivacySetting.html"},
}

// Exceptions returns the paths that do not simply take an account's token, and
// the three below /cgi-bin/component/ that do although they look otherwise.
func Exceptions() []Exception { return append([]Exception(nil), exceptions[:]...) }

// RuleOf returns the rule of a call: that of the path with its action (the query
// parameter; may be empty), then that of the path, then that of the longest
// prefix.
func RuleOf(path, action string) Rule {
	named := path + "?action=" + action
	rule, length := RuleAccount, 0
	for _, e := range exceptions {
		if e.Path == named || e.Path == path {
			return e.Rule
		}
		prefix, ok := strings.CutSuffix(e.Path, "*")
		if ok && len(prefix) > length && len(path) > len(prefix) && strings.HasPrefix(path, prefix) {
			rule, length = e.Rule, len(prefix)
		}
	}
	return rule
}
