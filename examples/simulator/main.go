// Command simulator runs a simulated WeChat, so that wxsidecar can be tried and
// tested without an account at WeChat: an API listener, and a control listener
// that makes happen what happens in production.
//
//	go run ./examples/simulator -push-url http://127.0.0.1:7081/wechat/wx7f00c0de00000001/event
//
// It prints what it serves and the settings for a sidecar in front of it. The
// control listener explains itself at GET /.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves until ctx ends and returns the exit code: 0, 1 for a failure, 2 for
// bad settings.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	switch {
	case errors.Is(err, errHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "simulator:", err)
		return 2
	}
	if err := serve(ctx, c, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "simulator:", err)
		return 1
	}
	return 0
}

// serve opens both listeners, says what is served, pushes tickets, and stops
// all when ctx ends.
func serve(ctx context.Context, c config, stdout, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	s := c.newServer(log)
	url, err := s.Listen(c.Listen, c.TLS)
	if err != nil {
		return err
	}
	defer s.Close()
	control, err := net.Listen("tcp", c.Control)
	if err != nil {
		return fmt.Errorf("control listener: %w", err)
	}
	srv := &http.Server{Handler: newControl(s, c), ReadHeaderTimeout: 10 * time.Second}
	var group sync.WaitGroup
	group.Go(func() { _ = srv.Serve(control) })
	group.Go(func() { s.RunPushes(ctx) })
	if err := c.writeCA(s); err != nil {
		log.Warn("the CA certificate was not written", "error", err)
	}
	c.describe(stdout, s, url, "http://"+control.Addr().String())
	<-ctx.Done()
	_ = srv.Close()
	group.Wait()
	return nil
}

// newServer makes the WeChat that the settings describe.
func (c config) newServer(log *slog.Logger) *wechattest.Server {
	s := wechattest.New(wechattest.Options{
		TokenLife:           c.TokenLife.Duration,
		Overlap:             c.Overlap.Duration,
		PushEvery:           c.PushEvery.Duration,
		RotateRefreshTokens: c.RotateRefreshTokens,
		StickyTokens:        c.StickyTokens,
		Seed:                c.Seed,
		Log:                 log,
	})
	for _, p := range c.Components {
		s.AddComponent(wechattest.Component{
			AppID: p.AppID, Secret: p.Secret, PushToken: p.PushToken, EncodingAESKey: p.EncodingAESKey,
			PushURL: p.PushURL, MessageURL: p.MessageURL, AuthorizeDomain: p.AuthorizeDomain,
		})
		for _, appID := range p.AuthorizerAppIDs {
			s.AddAuthorizer(p.AppID, appID)
		}
		s.AddAuthorizers(p.AppID, p.Authorizers)
	}
	for _, a := range c.Accounts {
		s.AddAccount(a.AppID, a.Secret)
		s.SetMessages(a.AppID, wechattest.MessageSettings{
			URL: a.MessageURL, Token: a.PushToken, EncodingAESKey: a.EncodingAESKey, Compatible: a.Compatible,
		})
	}
	return s
}

func (c config) writeCA(s *wechattest.Server) error {
	if !c.TLS || c.CAFile == "" {
		return nil
	}
	return os.WriteFile(c.CAFile, s.CACertPEM(), 0o644)
}
