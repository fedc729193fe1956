package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// The headers that we add to answers.
const (
	headerRequestID = "X-Wxsidecar-Request-Id"
	headerError     = "X-Wxsidecar-Error"
	headerReplay    = "X-Wxsidecar-Replay"
)

// WeChat's codes that our own errors use.
const (
	errcodeBusy      = wechat.CodeBusy             // passing: SDKs try again
	errcodeAppID     = wechat.CodeInvalidAppID     // only the caller can cure it: a wrong appid
	errcodeForbidden = wechat.CodeNotAuthorizedAPI // only the caller can cure it: anything else
	errcodeUncertain = wechat.CodeSystemError      // the call may have been carried out: SDKs do not try again
)

// fault is an answer of our own to a call that cannot be served. The zero
// errcode stands for errcodeForbidden.
type fault struct {
	status     int
	code       string // the value of X-Wxsidecar-Error
	errcode    int
	message    string // one sentence for people, without secrets
	retryAfter time.Duration
	closes     bool // the app's connection ends with it
	cut        bool // WeChat's answer had begun
	// cause is what the log says in place of message, where that points to the log or
	// is worded for SDKs; nil for message. It holds no secret, but may hold addresses.
	cause    error
	asWeChat bool // message is worded as WeChat would
}

// Error makes a fault usable where an error is wanted, in logs above all.
func (f *fault) Error() string {
	if f.cause != nil {
		return f.code + ": " + f.cause.Error()
	}
	return f.code + ": " + f.message
}

// uncertain makes f the answer to a call that WeChat may have carried out. It invites
// nobody to send the call again: SDKs do so after -1, and HTTP clients after 502, 503
// and Retry-After, some of them whatever the method. What the app itself broke off was
// not carried out.
func (f *fault) uncertain() {
	if f.status < fasthttp.StatusInternalServerError {
		return
	}
	if f.status != fasthttp.StatusInternalServerError {
		f.status = fasthttp.StatusGatewayTimeout
	}
	f.errcode, f.retryAfter = errcodeUncertain, 0
	f.message += ". The call may have been carried out: look at WeChat before you send it again"
}

// result is how a call that ends with f is counted.
func (f *fault) result() result {
	switch {
	case f.status == statusClientGone:
		return resultGone
	case f.cut:
		return resultCut
	case f.status >= fasthttp.StatusInternalServerError:
		return resultFailed
	default:
		return resultRefused
	}
}

// level is how loud a fault is: those that come in floods are quiet, as the
// metrics have them.
func (f *fault) level() slog.Level {
	switch {
	case f.status == fasthttp.StatusTooManyRequests:
		return slog.LevelDebug
	case f.status >= fasthttp.StatusInternalServerError:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

func badRequest(message string) *fault {
	return &fault{status: fasthttp.StatusBadRequest, code: "bad_request", message: message}
}

func forbidden(code, message string) *fault {
	return &fault{status: fasthttp.StatusForbidden, code: code, message: message}
}

// voidHandle answers a void handle as WeChat answers a dead token, in such words that
// each SDK finds what makes it fetch a new one.
func voidHandle() *fault {
	const reason = "this handle was not given out under the keys in force: fetch a new one"
	return &fault{
		status: fasthttp.StatusOK, code: "bad_handle", errcode: wechat.CodeInvalidCredential, asWeChat: true,
		message: "invalid credential, access_token is invalid or not latest, 42001 access_token expired; wxsidecar: " + reason,
		cause:   errors.New(reason),
	}
}

func tooMany(message string) *fault {
	return &fault{
		status: fasthttp.StatusTooManyRequests, code: "too_many_requests",
		errcode: errcodeBusy, message: message, retryAfter: time.Second,
	}
}

func bodyIncomplete() *fault {
	return &fault{
		// Where the body ends is not known, so nothing can follow it.
		status: fasthttp.StatusBadRequest, code: "body_incomplete", closes: true,
		message: "the request's body ended early or stalled: send all that Content-Length announces, without a pause",
	}
}

func badBody(message string) *fault {
	return &fault{status: fasthttp.StatusBadRequest, code: "bad_request", errcode: 47001, message: message}
}

func bodyTooLarge(limit int) *fault {
	return &fault{
		status: fasthttp.StatusRequestEntityTooLarge, code: "body_too_large",
		message: "this call's body must be read whole and may have at most " + strconv.Itoa(limit) + " bytes",
	}
}

// chunkedNotKept refuses a chunked body that could not be read whole, for that reason.
func chunkedNotKept(reason string, limit int) *fault {
	if reason == replayNoMemory {
		return noReplayMemory()
	}
	f := bodyTooLarge(limit)
	f.message = "a chunked body may have at most " + strconv.Itoa(limit) + " bytes (limits.replay_body), " +
		"as WeChat takes no chunks: send it with a Content-Length"
	return f
}

func noReplayMemory() *fault {
	return tooMany("the bodies of other calls take up all memory for bodies (limits.replay_memory): send fewer at once, or raise it")
}

func noAccount() *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "no_account", errcode: errcodeAppID,
		message: "cannot tell which account this call is for: name its appid in the header X-Wechat-Appid, " +
			"as a path prefix (/wx0123456789abcdef/cgi-bin/...), as from_appid in the query, " +
			"by the handle that /cgi-bin/token gave for it, or set apps.default_appid",
	}
}

// holdsNo refuses a name, of an account or of who calls, that is given without a
// value. what is an appid or a key.
func holdsNo(what, name string) *fault {
	f := badRequest(name + " holds no " + what + ", perhaps from a variable that is not set: give the " + what + ", or leave it out")
	if what == "appid" {
		f.errcode = errcodeAppID
	}
	return f
}

func noComponent() *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "no_account", errcode: errcodeAppID,
		message: "this path takes a component's token, and there is not exactly one component: " +
			"name its appid, or that of one of its accounts, in the header X-Wechat-Appid",
	}
}

func unknownAccount(appid string) *fault {
	return &fault{
		status: fasthttp.StatusNotFound, code: "unknown_account", errcode: errcodeAppID,
		message: "nobody knows the account " + appid + ", which is neither configured nor has authorised the component: " +
			"compare the appid with the one in WeChat's console; let the merchant authorise; an account of your own, add it to accounts" + originalIDHint(appid),
	}
}

// originalIDHint names what people often take for an appid.
func originalIDHint(appid string) string {
	if !strings.HasPrefix(appid, "gh_") {
		return ""
	}
	return " (gh_... is the account's 原始ID, its original id; an appid begins with wx)"
}

// notComponent says that appid is no component's, where one's is wanted.
func notComponent(appid string) *fault {
	f := unknownAccount(appid)
	f.message = appid + " is none of the sidecar's components: compare it with components in the configuration"
	return f
}

// notAuthorizer says that appid is a component's, where an authorizer's is wanted.
func notAuthorizer(appid string) *fault {
	f := unknownAccount(appid)
	f.message = appid + " is a component, and no authorizer: give the merchant's appid as authorizer_appid, " +
		"or fetch the component's token from /cgi-bin/component/api_component_token"
	return f
}

// noSecret refuses a call that carries a secret which is not held.
func noSecret(field, appid string) *fault {
	f := &fault{status: fasthttp.StatusBadRequest, code: "no_secret", errcode: errcodeAppID}
	if appid == "" {
		f.message = field + " is missing: give it in the query or in the body"
		return f
	}
	f.message = "no AppSecret is configured for " + appid + ", and this call needs one: for an account that authorised " +
		"the component use the component's form of the call, such as /cgi-bin/component/clear_quota/v2"
	return f
}

// componentAsked refuses to give a component's token where an account's is given.
func componentAsked(appid string) *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "bad_request", errcode: wechat.CodeUseComponentAPI,
		message: appid + " is a component: its token comes from /cgi-bin/component/api_component_token",
	}
}

// noPageTickets refuses tickets for the pages of a component, which has none.
func noPageTickets() *fault {
	return &fault{
		status: fasthttp.StatusBadRequest, code: "bad_request", errcode: errcodeAppID,
		message: "component_access_token names a component's token, and only accounts have tickets for pages: " +
			"name the account, and send its token as access_token",
	}
}

// internalFault is an error inside the sidecar. The log says which; the app is told where
// to look.
func internalFault(cause string) *fault {
	return &fault{
		cause:  errors.New(cause),
		status: fasthttp.StatusInternalServerError, code: "internal", errcode: errcodeForbidden,
		message: "an error inside the sidecar; report it with the lines of its log that have the request id",
	}
}

// upstreamFault says that WeChat gave no answer that can be read.
func upstreamFault(r *request, err error) *fault {
	f := &fault{
		status: fasthttp.StatusBadGateway, code: "upstream_unreachable", errcode: errcodeBusy,
		message: "no answer from WeChat; the sidecar's log says why", retryAfter: time.Second,
	}
	switch {
	case !r.sent:
		f.message = "WeChat cannot be reached, and nothing of the call was sent; the sidecar's log says why"
		if p := proxyFailure(err); p != nil {
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

// connectFailed says that a host could not be reached. It does not say more: an app
// is not to learn about networks through us.
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

// statusClientGone is what nginx logs for an app that left. Nobody reads it.
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

// brokerFault words what the broker said of the account or key of appid.
func brokerFault(err error, appid string) *fault {
	var state *broker.StateError
	switch {
	case errors.Is(err, broker.ErrUnknownAccount):
		return unknownAccount(appid)
	case errors.As(err, &state):
		return stateFault(state)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return passing("renewing", "no token in time; a renewal is under way", time.Second)
	default:
		f := passing("store_unavailable", "the store does not answer; the sidecar's log says why", time.Second)
		f.cause = err
		return f
	}
}

func stateFault(e *broker.StateError) *fault {
	f := passing(e.State.String(), e.Reason, max(e.RetryAfter, time.Second))
	if !e.Passing() {
		f.status, f.errcode, f.retryAfter = fasthttp.StatusForbidden, errcodeForbidden, 0
	}
	if e.Errcode != 0 {
		f.errcode = e.Errcode
	}
	return f
}

func passing(code, message string, retryAfter time.Duration) *fault {
	return &fault{
		status: fasthttp.StatusServiceUnavailable, code: code, errcode: errcodeBusy,
		message: message, retryAfter: retryAfter,
	}
}

// write makes f the answer. With as200 the status is always 200, for SDKs that
// drop the body of any other.
func (f *fault) write(resp *fasthttp.Response, as200 bool) {
	clearAnswer(resp)
	resp.SetStatusCode(f.status)
	if as200 {
		resp.SetStatusCode(fasthttp.StatusOK)
	}
	resp.Header.Set(headerError, f.code)
	if f.retryAfter > 0 {
		seconds := int((f.retryAfter + time.Second - 1) / time.Second)
		resp.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(seconds))
	}
	resp.Header.SetContentType("application/json; charset=utf-8")
	resp.SetBodyRaw(f.body())
}

// clearAnswer takes out of resp whatever an earlier attempt left there. Reading an
// empty head does that and nothing else: Reset would have fasthttp add a Date again.
func clearAnswer(resp *fasthttp.Response) {
	const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	resp.ResetBody()
	_ = resp.Header.Read(bufio.NewReaderSize(strings.NewReader(empty), len(empty))) // it is well formed
	// Else an error would be "403 OK".
	resp.Header.SetStatusMessage(nil)
}

func (f *fault) body() []byte {
	errcode := f.errcode
	if errcode == 0 {
		errcode = errcodeForbidden
	}
	b := append(make([]byte, 0, 128), `{"errcode":`...)
	b = strconv.AppendInt(b, int64(errcode), 10)
	b = append(b, `,"errmsg":`...)
	message := f.message
	if !f.asWeChat {
		message = "wxsidecar: " + message
	}
	return append(appendJSONText(b, message), '}')
}

// appendJSONText appends s as a JSON text without \u escapes, which some SDKs
// cannot read: control characters and broken UTF-8 become spaces and question
// marks.
func appendJSONText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < ' ' || c == 0x7f:
			b = append(b, ' ')
		case c == utf8.RuneError:
			b = append(b, '?')
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"')
}
