package main

import (
	"context"
	"os"
	"syscall"
)

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
