package authorize

import "strconv"

// words are the texts of the pages in one language.
type words struct {
	// tag is the language, for the lang attribute.
	tag string
	// accounts are the kinds of account by auth_type, as they stand in a sentence.
	accounts map[string]string
	// authorizeTitle takes one of accounts.
	authorizeTitle                   func(account string) string
	onlyAccount                      func(appID string) string
	pcIntro, phoneIntro, notInWeChat string
	button, qrCaption, qrLabel       string
	validFor                         func(minutes int) string
	renew, expired                   string
	platform, appID                  string
	authorizedTitle                  string
	// authorizedText takes the account's name.
	authorizedText                   func(name string) string
	officialAccount, miniProgram     string
	rights, noRights, noAPI, pending string
	again, reload                    string
	// errcode takes WeChat's.
	errcode func(code int) string
	// failures are by a failure's name.
	failures map[string]failureWords
	// rightNames are by the id of a set of permissions, where WeChat gives no name.
	rightNames map[int64]string
}

// failureWords are a failure in plain words.
type failureWords struct{ title, text string }

// rightName returns the name of a set of permissions.
func (w *words) rightName(id int64, name string) string {
	if known := w.rightNames[id]; known != "" {
		return known
	}
	if name != "" {
		return name
	}
	return "#" + strconv.FormatInt(id, 10)
}
