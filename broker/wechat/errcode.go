package wechat

import (
	"errors"
	"fmt"
)

// Error codes of WeChat that matter to tokens. Texts vary and end in a request
// id, so only the number is ever compared.
// https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html
const (
	CodeBusy                = -1
	CodeInvalidCredential   = 40001 // token not valid or not the latest; on a call with a secret: wrong secret
	CodeInvalidAppID        = 40013
	CodeInvalidToken        = 40014
	CodeInvalidSecret       = 40125
	CodeIPNotInWhitelist    = 40164
	CodeTokenExpired        = 42001
	CodePasswordChanged     = 42007
	CodeQuotaExhausted      = 45009
	CodeTooFrequent         = 45011
	CodeIPNotRegistered     = 45035
	CodeNotAuthorizedAPI    = 48001
	CodeNotAuthorized       = 61003 // the account has not authorised this component
	CodeComponentIP         = 61004
	CodeTicketExpired       = 61005
	CodeTicketInvalid       = 61006
	CodeCodeInvalid         = 61009
	CodeCodeExpired         = 61010
	CodeComponentInvalid    = 61011
	CodeRefreshTokenInvalid = 61023
	CodeUseComponentAPI     = 61024
	CodeSystemError         = 61450
	codeIPConfirmFirst      = 89501 // to CodeIPRefusedForAnHour: an administrator must confirm our address
	CodeIPRefusedForADay    = 89506
	CodeIPRefusedForAnHour  = 89507
)

// Stale reports whether code says that the access token of a call was the fault,
// so that a fresh one may cure it: not valid or not the newest (40001), malformed or
// foreign (40014), expired (42001).
func Stale(code int) bool {
	return code == CodeInvalidCredential || code == CodeInvalidToken || code == CodeTokenExpired
}

// APIError is WeChat's own refusal of a call.
type APIError struct {
	// Path is the API's path, without query.
	Path string
	Code int
	// Msg is WeChat's errmsg, with whatever secret of the call it repeated taken
	// out, and cut to a sane length.
	Msg string
}

// Error returns the path, the code and WeChat's words.
func (e *APIError) Error() string {
	return fmt.Sprintf("%s: errcode %d: %s", e.Path, e.Code, e.Msg)
}

// Misconfigured reports whether only a person can cure the cause: a wrong appid
// or secret, an address that is not in the whitelist or awaits confirmation.
// 40001 is such a cause only on calls that carry a secret instead of a token;
// the caller knows which.
func (e *APIError) Misconfigured() bool {
	switch e.Code {
	case CodeInvalidAppID, CodeInvalidSecret, CodeIPNotInWhitelist, CodeIPNotRegistered,
		CodeComponentIP, CodeComponentInvalid, CodeUseComponentAPI:
		return true
	}
	return e.Code >= codeIPConfirmFirst && e.Code <= CodeIPRefusedForAnHour
}

// Question reports whether the call asked about accounts: its quota is not that of the
// calls that give tokens.
func (e *APIError) Question() bool { return e.Path == infoPath || e.Path == listPath }

// TicketRefused reports whether the component_verify_ticket was not accepted.
func (e *APIError) TicketRefused() bool {
	return e.Code == CodeTicketExpired || e.Code == CodeTicketInvalid
}

// NoAnswerError says that WeChat did not answer at all: the connection was
// refused or broke, or the time was up, before the head of an answer.
type NoAnswerError struct {
	Path string
	Err  error
	// Proxy says that the way out failed, before WeChat was asked.
	Proxy bool
	// Sent says that some of the call may have left, so that WeChat may have carried it
	// out.
	Sent bool
}

// Error returns the path and the cause.
func (e *NoAnswerError) Error() string { return e.Path + ": no answer: " + e.Err.Error() }

// Timeout reports whether the time was up.
func (e *NoAnswerError) Timeout() bool { return errors.Is(e.Err, ErrTimeUp) }

// ErrTimeUp is the cause of a [NoAnswerError] that came when the time was up.
var ErrTimeUp = errors.New("time is up")

// Unwrap returns the cause.
func (e *NoAnswerError) Unwrap() error { return e.Err }

// BadAnswerError says that an answer came that cannot be used.
type BadAnswerError struct {
	Path string
	// Status is the HTTP status.
	Status int
	// Reason says what is wrong, without showing the answer.
	Reason string
}

// Error returns the path, the status and what is wrong.
func (e *BadAnswerError) Error() string {
	return fmt.Sprintf("%s: unusable answer (HTTP %d): %s", e.Path, e.Status, e.Reason)
}

// Code returns the errcode of the [APIError] in err's chain, or 0.
func Code(err error) int {
	var api *APIError
	if errors.As(err, &api) {
		return api.Code
	}
	return 0
}
