package redisstore

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/redis/rueidis"
)

// ErrUnavailable is wrapped by the error of [Open] where nobody answers, or who answers is not
// ready yet: it may be otherwise in a moment. What a person must change is no such error.
var ErrUnavailable = errors.New("the store is not there yet")

// unavailable is an error that is ErrUnavailable too, in its own words.
type unavailable struct{ error }

func (u unavailable) Unwrap() []error { return []error{u.error, ErrUnavailable} }

// passing are the first words of answers that a server gives while it starts or fails over.
var passing = map[string]bool{"LOADING": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "BUSY": true}

// markUnavailable makes err an ErrUnavailable if it is one.
func markUnavailable(err error) error {
	var answer *rueidis.RedisError
	var op *net.OpError
	switch {
	case errors.As(err, &answer):
		if passing[word(answer)] {
			return unavailable{err}
		}
	case errors.As(err, &op) && op.Op == "remote error": // TLS: the other end refuses us
	case op != nil, errors.Is(err, errNoAnswer), errors.Is(err, context.DeadlineExceeded), errors.Is(err, rueidis.ErrNoSlot), errors.Is(err, io.EOF):
		return unavailable{err}
	}
	return err
}
