package authorize

import "fmt"

var english = words{
	tag: "en",
	accounts: map[string]string{
		"1": "official account", "2": "mini program", "3": "official account or mini program", "4": "mini program promoter account",
		"5": "channels account", "6": "WeChat account", "8": "live-sales assistant account",
	},
	authorizeTitle:  func(account string) string { return "Authorise your " + account },
	onlyAccount:     func(appID string) string { return "Only the account " + appID + " can authorise here." },
	pcIntro:         "Press the button. On WeChat’s page an administrator of the account scans a code with WeChat and confirms on the phone.",
	phoneIntro:      "Press the button, choose the account and confirm. You have to be its administrator.",
	notInWeChat:     "Open this page in WeChat: scan the code below with WeChat, or send yourself the link in WeChat and open it there.",
	button:          "Continue to WeChat",
	qrCaption:       "Or scan this with WeChat, and authorise on the phone.",
	qrLabel:         "QR code of this page’s address",
	validFor:        validFor,
	renew:           "Get a new link",
	expired:         "This link has run out: get a new one",
	platform:        "Platform",
	appID:           "AppID",
	authorizedTitle: "Authorised",
	authorizedText: func(name string) string {
		return "“" + name + "” has authorised this platform. You can close this page."
	},
	officialAccount: "Official account",
	miniProgram:     "Mini program",
	rights:          "Permissions granted",
	noRights:        "No permissions were granted. To use the platform, authorise again and tick the permissions.",
	noAPI:           "The account may not call APIs, so the platform cannot act for it yet. Accounts that are not verified are often so.",
	pending:         "to be confirmed",
	again:           "Authorise again",
	reload:          "Try again",
	errcode:         func(code int) string { return fmt.Sprintf("WeChat’s errcode %d", code) },
	failures: map[string]failureWords{
		"bad_request":       {"This link is wrong", "The page’s link is incomplete or wrong. Ask the platform for a new one."},
		"unknown_component": {"This link is wrong", "There is no such platform here. Ask the platform for a new link."},
		"embedded":          {"Open this page itself", "This page cannot be part of another. Open its link in a window of its own."},
		"too_many_visits":   {"Opened too often", "The page was opened too many times in a short while. Wait a little and try again."},
		"not_ready":         {"Not possible right now", "The platform cannot get what it needs from WeChat right now. Try again in a moment."},
		"wechat_refused":    {"WeChat refused", "WeChat did not accept the platform’s request. Tell the platform the code below."},
		"foreign_visit":     {"This may not be your authorisation", "This page was not reached from an authorisation page that this browser opened, so the authorisation in it was not used. Authorise again, and stay in one browser."},
		"visit_expired":     {"That took too long", "Too much time has passed since the authorisation page was opened. Authorise again."},
		"visit_used":        {"This link was used before", "The link of this authorisation was used once and cannot be used for another. Authorise again."},
		"no_code":           {"Nothing was authorised", "WeChat sent no authorisation code. Authorise again."},
		"code_invalid":      {"The code has run out", "The authorisation code has run out or was used before. Authorise again."},
	},
	rightNames: map[int64]string{
		1: "Messages", 2: "Users", 3: "Account services", 4: "Web pages", 5: "Shop", 6: "Customer service agents", 7: "Broadcasts and notices",
		8: "Cards and coupons", 9: "Scanning", 10: "Wi-Fi", 11: "Media", 12: "Shake nearby", 13: "Stores", 15: "Custom menus",
		16: "Verification status", 17: "Mini program account", 18: "Mini program development and analysis", 19: "Mini program customer service",
		20: "Login", 21: "Analysis", 22: "City services", 23: "Advertising", 24: "Open platform account", 25: "Mini program open platform account",
		26: "Electronic invoices", 41: "Search widget",
	},
}

func validFor(minutes int) string {
	if minutes == 1 {
		return "The link is good for 1 minute."
	}
	return fmt.Sprintf("The link is good for %d minutes.", minutes)
}
