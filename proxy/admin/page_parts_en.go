package admin

// partsEnglish are what findings say, in the API and on the page. Those that begin with why_ are for
// the page only: the broker words reasons in full.
var partsEnglish = map[string]string{
	"draining":          "the sidecar was told to stop",
	"reload_refused":    "the changed configuration is not used, and the old one is in force: %s",
	"clock_behind":      "our clock is %d s behind WeChat's, which is allowed for",
	"clock_ahead":       "our clock is %d s ahead of WeChat's, which is allowed for",
	"shared_unreadable": "the store that the sidecars share does not answer: %s",
	"store_unreadable":  "the store cannot be read: %s",
	"unsaved":           "the store does not take the tokens of %d keys, which are served from memory: %s",
	"takes_nothing":     "the store takes nothing, so that nothing is renewed: %s",
	"store_repaired":    "the store's file was damaged (%s); it was moved aside to %s, and a new one begun with %d records of it",

	"wechat_unreachable": "WeChat does not answer, and renewals wait for its return: %s",
	"proxy_unreachable":  "WeChat cannot be asked, as upstream.proxy does not let us through: %s",
	"host_out":           "%s has failed %d calls in a row; the other hosts are used while there are any",
	"list_unread":        "the list of authorizers could not be read to its end: %s",
	"displaced":          "tokens are rejected although they are fresh, so somebody outside fetches them as well: %s",
	"events_late":        "%d events wait for an app, the oldest for %d minutes",
	"dead_letters":       "%d events were given up, as no app took them in a day",

	"ticket_late":         "no ticket came for 25 minutes; WeChat pushes one every ten",
	"start_refused":       "; asked to push, it said: %s",
	"pushes_refused":      "; pushes come and are refused (%s): ",
	"push_forged":         "compare push_token with 消息校验Token in WeChat's console",
	"push_padding":        "compare encoding_aes_key with 消息加解密Key in WeChat's console",
	"push_path":           "the authorization-event URL (授权事件接收URL) in WeChat's console must end in /wechat/<component>/event",
	"push_outside_window": "the clocks differ, or somebody sends an old push again; compare the two times in the log line \"push refused\"",
	"push_cut_off":        "the body breaks off or takes more than five seconds; look at the proxy in front of the push listener",
	"push_too_large":      "a body of more than 1 MiB is no push of WeChat's; the log line \"push refused\" says where it comes from",
	"push_parameters":     "msg_signature, timestamp or nonce is missing or given twice; look whether the proxy in front of the push listener passes the query on",
	"push_busy":           "more is sent to the push listener at once than it has room for; limit connections in the proxy in front of it",
	"push_other":          "the body is not what WeChat sends; the log line \"push refused\" says where it comes from",

	"ticket_url": "; see that the authorization-event URL (授权事件接收URL) in WeChat's console leads to the push listener",

	"keys_wait":   "; %d keys wait for it",
	"still_lives": "its token lives until %s and cannot be renewed: ",
	"merchants":   "%d merchants, %d of them still with a living token: ",

	"why_refused_said":     "WeChat answered: %s",
	"why_no_answer":        "WeChat is waited for",
	"why_no_answer_said":   "WeChat did not answer: %s",
	"why_store_away_said":  "the store that the sidecars share does not answer: %s",
	"why_no_ticket":        "there is no usable component_verify_ticket; WeChat pushes one every ten minutes",
	"why_budget":           "our own daily budget of renewals that rejections force is used up for this key; one an hour is made until midnight in China",
	"why_quota_met":        "WeChat said 45009: the quota of the day is used up",
	"why_withdrawn":        "WeChat pushed that the merchant has taken the authorization back (unauthorized)",
	"why_forgotten":        "an operator had it forgotten",
	"why_no_refresh_token": "WeChat shows no refresh token: the account may lack the API permissions",
	"why_other_said":       "the renewal failed: %s",
	"why_not_in_use":       "nobody has called for it lately; its next call fetches a token",
	"why_asked_for":        "a token is being asked for",
}
