package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
)

// Faults of calls that WeChat did not answer, and of those for which there is no token.

// internalFault is the fault of an error inside the sidecar. The log has its cause, and the
// app is told to look there.
func internalFault(cause string) *fault {
	return &fault{
		cause:  errors.New(cause),
		status: fasthttp.StatusInternalServerError, code: "internal", errcode: errcodeForbidden,
		message: "an error inside the sidecar; report it with the lines of its log that have the request id",
	}
}

// upstreamFault is the fault of a call without an answer that can be read.
func upstreamFault(r *request, err error) *fault {
	f := &fault{
		status: fasthttp.StatusBadGateway, code: "upstream_unreachable", errcode: errcodeBusy,
		message: "no answer from WeChat: check upstream.url and what is between it and the sidecar; the sidecar's log says why", retryAfter: time.Second,
	}
	switch {
	case !r.sent:
		f.cause = fmt.Errorf("upstream.url: %w", err)
		f.message = "WeChat cannot be reached, and nothing of the call was sent: check upstream.url, its DNS name, the network and the firewall; the sidecar's log says why"
		if p := proxyFailure(err); p != nil {
			f.cause = err // it names upstream.proxy
			f.message = "WeChat cannot be reached, and nothing of the call was sent: " + p.Reason
		}
	case isTimeout(err):
		f.status, f.code = fasthttp.StatusGatewayTimeout, "upstream_timeout"
		f.message = "WeChat did not answer in time (upstream.timeout)"
	case r.uncertain():
		f.code = "answer_broken"
	}
	return f
}

// connectFailed is the fault of a CONNECT whose host could not be reached. It gives no
// reason, so that an app cannot explore networks through us.
func connectFailed(host string, err error) *fault {
	f := &fault{status: fasthttp.StatusBadGateway, code: "connect_failed", errcode: errcodeBusy, message: "cannot connect to " + host}
	f.cause = fmt.Errorf("%s: %w", f.message, err)
	if p := proxyFailure(err); p != nil {
		f.message += ": " + p.Reason
	} else if isTimeout(err) || errors.Is(err, context.DeadlineExceeded) {
		f.status, f.message = fasthttp.StatusGatewayTimeout, "cannot connect to "+host+" in time"
	}
	return f
}

// statusClientGone is the status that nginx logs for a client that left. No app reads it.
const statusClientGone = 499

func clientGone() *fault {
	return &fault{
		status: statusClientGone, code: "client_gone", closes: true,
		message: "the app closed its connection before WeChat answered",
	}
}

func answerTooLarge(message string) *fault {
	return &fault{status: fasthttp.StatusBadGateway, code: "answer_too_large", message: message}
}

func answerEncoded() *fault {
	return &fault{
		status: fasthttp.StatusBadGateway, code: "answer_encoded",
		message: "WeChat's answer came compressed although it was not asked to, so the secrets in it cannot be taken out: look at what is between the sidecar and WeChat",
	}
}

func answerBroken() *fault {
	return &fault{
		status: fasthttp.StatusBadGateway, code: "answer_broken", errcode: errcodeBusy, retryAfter: time.Second,
		message: "WeChat's answer broke off before its end",
	}
}

// brokerFault is the fault of an error of the broker about the account or key of appid.
func brokerFault(err error, appid string) *fault {
	var state *broker.StateError
	switch {
	case errors.Is(err, broker.ErrUnknownAccount):
		return unknownAccount(appid)
	case errors.As(err, &state):
		return stateFault(state)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable("renewing", "no token in time; a renewal is under way", time.Second)
	default:
		f := unavailable("store_unavailable", "the store does not answer; the sidecar's log says why", time.Second)
		f.cause = err
		return f
	}
}

func stateFault(e *broker.StateError) *fault {
	f := unavailable(e.State.String(), e.Reason, max(e.RetryAfter, time.Second))
	if !e.Passing() {
		f.status, f.errcode, f.retryAfter = fasthttp.StatusForbidden, errcodeForbidden, 0
	}
	if e.Errcode != 0 {
		f.errcode = e.Errcode
	}
	return f
}

func unavailable(code, message string, retryAfter time.Duration) *fault {
	return &fault{
		status: fasthttp.StatusServiceUnavailable, code: code, errcode: errcodeBusy,
		message: message, retryAfter: retryAfter,
	}
}
