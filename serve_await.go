package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
)

const (
	// storePatience is how long serve waits at its start for a store that does not answer:
	// a pod may be there before its Redis.
	storePatience = time.Minute
	// storeRetry is the pause between two attempts.
	storeRetry = 3 * time.Second
)

// awaitStore opens the store, and tries again for storePatience while nobody answers there. A
// store that answers and cannot be used is an error at once, and so is the end of ctx.
func awaitStore(ctx context.Context, log *slog.Logger, open func(context.Context) (opened, error)) (opened, error) {
	patience := time.NewTimer(storePatience)
	defer patience.Stop()
	for {
		o, err := open(ctx)
		if err == nil || !errors.Is(err, redisstore.ErrUnavailable) || ctx.Err() != nil {
			return o, err
		}
		log.Warn("the store does not answer yet; trying again", "error", err, "gives_up_after", storePatience.String())
		pause := time.NewTimer(storeRetry)
		select {
		case <-pause.C:
			if !passed(patience) { // both may end at one moment
				continue
			}
		case <-patience.C:
			pause.Stop()
		case <-ctx.Done():
			pause.Stop()
			return opened{}, ctx.Err()
		}
		return opened{}, fmt.Errorf("nobody answered within %s: %w", storePatience, err)
	}
}

// passed reports whether the time of t is over, without a wait. It does so once.
func passed(t *time.Timer) bool {
	select {
	case <-t.C:
		return true
	default:
		return false
	}
}

// startWatch listens for the signal that ends a start.
type startWatch struct {
	// ctx ends with the signal.
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	signal os.Signal
}

// watchStart takes the signals until stop is called. SIGHUP, which asks for a configuration
// that has just been read, is passed over.
func watchStart(ctx context.Context, signals <-chan os.Signal) *startWatch {
	w := &startWatch{done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					w.signal = sig
					w.cancel()
					return
				}
			case <-w.ctx.Done():
				return
			}
		}
	}()
	return w
}

// stop returns the signal that came, nil for none.
func (w *startWatch) stop() os.Signal {
	w.cancel()
	<-w.done
	return w.signal
}
