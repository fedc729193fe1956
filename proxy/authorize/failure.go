package authorize

import (
	"errors"
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// failure is what a visitor is told instead of a page.
type failure struct {
	status int
	// name is for apps, metrics and the words.
	name string
	// retryAfter is when the same request may do better; 0 if it will not.
	retryAfter time.Duration
	// errcode is WeChat's, 0 for none.
	errcode int
	// parameter is the one that is wrong, "" for none.
	parameter string
	// again is the query with which a merchant begins again.
	again string
	// err is for the log. It shows no code.
	err error
}

func badRequest(err error) *failure {
	f := &failure{status: http.StatusBadRequest, name: "bad_request", err: err}
	var wrong *parameterError
	if errors.As(err, &wrong) {
		f.parameter = wrong.name
	}
	return f
}

func tooMany(wait time.Duration, everybodys bool) *failure {
	f := &failure{status: http.StatusTooManyRequests, name: "too_many_visits", retryAfter: wait}
	f.err = errors.New("this address has opened the page too often; if it is that of a proxy in front, set push.forwarded_for")
	if everybodys {
		f.err = errors.New("the component's pages were opened too often, by all visitors together")
	}
	return f
}

// stateFailure words why a state was not taken.
func stateFailure(err error) *failure {
	f := &failure{status: http.StatusForbidden, name: "foreign_visit", err: err}
	switch {
	case errors.Is(err, errExpired):
		f.name = "visit_expired"
	case errors.Is(err, errUsed):
		f.name = "visit_used"
	}
	return f
}

// soon is when a page may be loaded again after a failure that passes.
const soon = 5 * time.Second

// brokerFailure words an error of the broker's.
func brokerFailure(err error) *failure {
	var state *broker.StateError
	var api *wechat.APIError
	f := &failure{status: http.StatusServiceUnavailable, name: "not_ready", retryAfter: soon, err: err}
	switch {
	case errors.Is(err, broker.ErrUnknownAccount):
		return &failure{status: http.StatusNotFound, name: "unknown_component", err: err}
	case errors.As(err, &state):
		f.errcode, f.retryAfter = state.Errcode, max(soon, state.RetryAfter)
	case errors.As(err, &api):
		f.errcode = api.Code
		switch api.Code {
		case wechat.CodeCodeInvalid, wechat.CodeCodeExpired:
			return &failure{status: http.StatusBadRequest, name: "code_invalid", errcode: api.Code, err: err}
		case wechat.CodeBusy, wechat.CodeQuotaExhausted, wechat.CodeTooFrequent:
		default:
			return &failure{status: http.StatusBadGateway, name: "wechat_refused", errcode: api.Code, err: err}
		}
	}
	return f
}
