package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Error is what the API answers instead of what was asked for.
type Error struct {
	// Code is for programs. docs/admin.md lists all of them.
	Code string `json:"error"`
	// Message says to people what is wrong and what to do.
	Message string `json:"message"`

	status     int
	retryAfter time.Duration
}

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// fault returns an Error with that status.
func fault(status int, code, format string, about ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, about...), status: status}
}

// errorOf returns what to answer for an error of the broker's.
func errorOf(err error) *Error {
	var own *Error
	var state *broker.StateError
	var refused *wechat.APIError
	var silent *wechat.NoAnswerError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, broker.ErrBadQuery):
		return fault(http.StatusBadRequest, "bad_request", "%v", err)
	case errors.Is(err, broker.ErrUnknownAccount):
		return fault(http.StatusNotFound, "unknown_account", "%v: neither configured nor authorised; the list of accounts has those that are", err)
	case errors.As(err, &state):
		e := fault(http.StatusConflict, state.State.String(), "%v", err)
		e.retryAfter = state.RetryAfter
		return e
	case errors.As(err, &refused):
		return fault(http.StatusBadGateway, "wechat_refused", "%v", err)
	case errors.As(err, &silent):
		return fault(http.StatusBadGateway, "wechat_unreachable", "%v; renewals go on once it answers", err)
	default:
		return fault(http.StatusServiceUnavailable, "unavailable", "%v; look at the log and at the store, and try again", err)
	}
}

func writeError(w http.ResponseWriter, err error) {
	e := errorOf(err)
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.retryAfter.Round(time.Second)/time.Second)))
	}
	reply(w, e.status, "application/json", compactJSON(e)+"\n")
}

func writeAnswer(w http.ResponseWriter, answer any) {
	switch answer := answer.(type) {
	case document:
		reply(w, http.StatusOK, answer.contentType, answer.text)
	case accepted:
		reply(w, http.StatusAccepted, "application/json", compactJSON(answer.answer)+"\n")
	default:
		reply(w, http.StatusOK, "application/json", compactJSON(answer)+"\n")
	}
}

// maxBody is the longest body that is read.
const maxBody = 64 << 10

// readBody reads a JSON body into v. None leaves v as it is.
func readBody(r *http.Request, v any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return fault(http.StatusBadRequest, "bad_request", "the body did not come to its end: send it again")
	case len(body) > maxBody:
		return fault(http.StatusRequestEntityTooLarge, "body_too_large", "the body has more than %d bytes", maxBody)
	case len(body) == 0:
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fault(http.StatusUnsupportedMediaType, "not_json", "the body must be JSON: send Content-Type: application/json")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a misspelled one would be passed over
	if err := d.Decode(v); err != nil || d.More() {
		return fault(http.StatusBadRequest, "bad_request", "the body is not the JSON that this path takes; %sopenapi.yaml has its shape", prefix)
	}
	return nil
}

// number returns a parameter of the query as a number up to most; fallback where there is
// none.
func number(r *http.Request, name string, fallback, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fault(http.StatusBadRequest, "bad_request", "%s is %q: give a number from 1 to %d", name, clip(text), most)
	}
	return n, nil
}

// known refuses parameters of the query that an operation does not have: a misspelled one
// would be passed over.
func known(r *http.Request, names ...string) error {
	for name := range r.URL.Query() {
		if !slices.Contains(names, name) {
			return fault(http.StatusBadRequest, "bad_request", "there is no parameter %q here; %sopenapi.yaml lists those that there are", clip(name), prefix)
		}
	}
	return nil
}

// waitFor returns how long an operation may wait for its outcome.
func waitFor(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, fault(http.StatusBadRequest, "bad_request", "wait is %q: give a time like 10s, at most %s", clip(text), maxWait)
	}
	return d, nil
}

// maxWait is how long an operation waits for its outcome at most.
const maxWait = 30 * time.Second
