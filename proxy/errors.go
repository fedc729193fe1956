package proxy

import (
	"bufio"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

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
	errcodeBusy      = wechat.CodeBusy             // temporary: SDKs try again
	errcodeAppID     = wechat.CodeInvalidAppID     // permanent: a wrong appid
	errcodeForbidden = wechat.CodeNotAuthorizedAPI // permanent: anything else
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
	cut        bool // WeChat's answer was truncated
	// cause is logged instead of message, if message refers to the log or is worded for
	// SDKs; nil for message. It has no secret, but may have addresses.
	cause    error
	asWeChat bool // message is worded as WeChat would
}

// Error implements error, for logs.
func (f *fault) Error() string {
	if f.cause != nil {
		return f.code + ": " + f.cause.Error()
	}
	return f.code + ": " + f.message
}

// uncertain makes f the answer to a call that WeChat may have carried out, so that no
// client sends it again by itself. SDKs do so after -1, and HTTP clients after 502, 503 and
// Retry-After, some of them whatever the method. A 4xx stays as it is: WeChat does not
// carry out a call that the app has broken off.
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
		return resultClientGone
	case f.cut:
		return resultCut
	case f.status >= fasthttp.StatusInternalServerError:
		return resultFailed
	default:
		return resultRefused
	}
}

// level returns the level at which a fault is logged. Those that come in floods are logged
// at Debug, since metrics count them.
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

// voidHandle answers a void handle as WeChat answers an expired token. The message has the
// words by which each SDK decides to fetch a new one.
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
		// The end of the body is not known, so no request can follow it.
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

// chunkedNotBuffered refuses a chunked body that could not be buffered whole, for reason.
func chunkedNotBuffered(reason string, limit int) *fault {
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

// write writes f into resp. With as200 the status is 200, for SDKs that ignore the body of
// any other.
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

// clearAnswer removes from resp what an earlier attempt left there. It reads an empty head,
// since Reset would make fasthttp add a Date again.
func clearAnswer(resp *fasthttp.Response) {
	const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	resp.ResetBody()
	_ = resp.Header.Read(bufio.NewReaderSize(strings.NewReader(empty), len(empty))) // it is well formed
	// Otherwise an error would be "403 OK".
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
