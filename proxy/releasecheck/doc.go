// Package releasecheck answers WeChat's whole-network release check (全网发布检测), which a
// component must pass before merchants can authorise it. WeChat writes to the component in the
// name of test accounts and expects three answers:
//
//	text TESTCOMPONENT_MSG_TYPE_TEXT    the text with _callback behind it, at once
//	any event                           the text <Event>from_callback, at once
//	text QUERY_AUTH_CODE:<code>         an empty string at once, then a customer message
//	                                    <code>_from_api, sent with the token that the code gives
//
// The event was dropped from WeChat's page about 2017; it is still answered.
//
//	check.go       which messages are the check's, and their replies
//	accounts.go    the test accounts
//	document.go    a message's text, and a reply with one
//	send.go        the exchange of a code, and the customer message
//
// See https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/operation/thirdparty/releases_instructions.html
//
// The package makes no API promise outside this module.
package releasecheck
