package wechattest

// WeChat's error codes as far as the simulator answers them. The texts are
// those that WeChat returns where they are known; the caller's address in them is
// always the same. See
// https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html
const (
	codeOK                = 0
	codeBusy              = -1
	codeBadCredential     = 40001
	codeBadGrantType      = 40002
	codeBadOpenID         = 40003
	codeBadMediaType      = 40004
	codeBadMediaID        = 40007
	codeBadMessageType    = 40008
	codeBadAppID          = 40013
	codeBadToken          = 40014
	codeBadCode           = 40029
	codeBadUserRefresh    = 40030
	codeBadURL            = 40066
	codeBadArguments      = 40097
	codeBadSecret         = 40125
	codeUsedCode          = 40163
	codeIPNotListed       = 40164
	codeListTooLong       = 40170
	codeBadCheckAction    = 40202
	codeBadCheckOperator  = 40203
	codeTokenMissing      = 41001
	codeAppIDMissing      = 41002
	codeRefreshMissing    = 41003
	codeSecretMissing     = 41004
	codeMediaMissing      = 41005
	codeCodeMissing       = 41008
	codeOpenIDMissing     = 41009
	codeComponentMissing  = 41018
	codeTokenExpired      = 42001
	codeUserRefreshDead   = 42002
	codeCodeExpired       = 42003
	codeNeedGet           = 43001
	codeNeedPost          = 43002
	codeEmptyBody         = 44002
	codeQuota             = 45009
	codeBadData           = 47001
	codeNoPermission      = 48001
	codeClearQuotaUsedUp  = 48006
	codeNotAuthorized     = 61003
	codeComponentIP       = 61004
	codeTicketExpired     = 61005
	codeTicketInvalid     = 61006
	codeDuplicateKey      = 61008
	codeAuthCodeInvalid   = 61009
	codeAuthCodeExpired   = 61010
	codeComponentInvalid  = 61011
	codeBadOptionName     = 61012
	codeBadOptionValue    = 61013
	codeNeedComponent     = 61014
	codeNeedAccount       = 61015
	codeRefreshInvalid    = 61023
	codeUseComponentToken = 61024
	codeBadCgiPath        = 76021
)

var codeTexts = map[int]string{
	codeOK:                "ok",
	codeBusy:              "system error",
	codeBadCredential:     "invalid credential, access_token is invalid or not latest",
	codeBadGrantType:      "invalid grant_type",
	codeBadOpenID:         "invalid openid",
	codeBadMediaType:      "invalid media type",
	codeBadMediaID:        "invalid media_id",
	codeBadMessageType:    "invalid message type",
	codeBadAppID:          "invalid appid",
	codeBadToken:          "invalid access_token",
	codeBadCode:           "invalid code",
	codeBadUserRefresh:    "invalid refresh_token",
	codeBadURL:            "invalid url",
	codeBadArguments:      "invalid args",
	codeBadSecret:         "invalid appsecret",
	codeUsedCode:          "code been used",
	codeIPNotListed:       "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist",
	codeListTooLong:       "args count exceed count limit",
	codeBadCheckAction:    "invalid action",
	codeBadCheckOperator:  "invalid check_operator",
	codeTokenMissing:      "access_token missing",
	codeAppIDMissing:      "appid missing",
	codeRefreshMissing:    "refresh_token missing",
	codeSecretMissing:     "appsecret missing",
	codeMediaMissing:      "media data missing",
	codeCodeMissing:       "missing code",
	codeOpenIDMissing:     "missing openid",
	codeComponentMissing:  "missing component_appid",
	codeTokenExpired:      "access_token expired",
	codeUserRefreshDead:   "refresh_token expired",
	codeCodeExpired:       "code expired",
	codeNeedGet:           "require GET method",
	codeNeedPost:          "require POST method",
	codeEmptyBody:         "empty post data",
	codeQuota:             "reach max api daily quota limit",
	codeBadData:           "data format error",
	codeNoPermission:      "api unauthorized",
	codeClearQuotaUsedUp:  "forbid to clear quota because of reaching the limit",
	codeNotAuthorized:     "component is not authorized by this account",
	codeComponentIP:       "access clientip is not registered requestIP: 203.0.113.9",
	codeTicketExpired:     "component ticket is expired",
	codeTicketInvalid:     "component ticket is invalid",
	codeDuplicateKey:      "duplicate key in request",
	codeAuthCodeInvalid:   "code is invalid",
	codeAuthCodeExpired:   "code is expired",
	codeComponentInvalid:  "component is invalid",
	codeBadOptionName:     "invalid option name",
	codeBadOptionValue:    "invalid option value",
	codeNeedComponent:     "must use component token for component api",
	codeNeedAccount:       "must use api token, not component token",
	codeRefreshInvalid:    "refresh_token is invalid",
	codeUseComponentToken: "must use api(api_component_token) to get token for component acct",
	codeBadCgiPath:        "cgi_path not found",

	42007: "access_token and refresh_token exception",
	45011: "api minute-quota reach limit, must slower, retry next minute",
	45035: "access clientip is not registered, not in ip-white-list",
	48004: "api forbidden for irregularities",
	50002: "user limited",
	61007: "api is unauthorized to component",
	61028: "component is not published",
	89501: "the administrator has yet to confirm the ip",
	89503: "the administrator has to confirm the ip",
	89506: "the administrator has refused the ip",
	89507: "the administrator has refused the ip",
}

// textOf returns WeChat's text of code.
func textOf(code int) string {
	if text, ok := codeTexts[code]; ok {
		return text
	}
	return "system error"
}
