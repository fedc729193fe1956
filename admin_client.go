package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// adminExits is what every verb over the admin API says of its exit codes.
const adminExits = "Exit codes: 0 done, 1 refused or failed, or no answer came, 2 the command line or the address is at fault."

// adminVerb returns a verb that asks the admin API of a running sidecar.
func (p *program) adminVerb(use, short, long string, run func(a *asker, args []string) error) *cobra.Command {
	if !strings.Contains(long, "Exit codes:") {
		long += "\n" + adminExits
	}
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		a, err := p.newAsker(ctx, cmd.Flags())
		if err != nil {
			return err
		}
		return run(a, args)
	}
	flags := cmd.Flags()
	flags.String("admin", "", "the admin listener of the sidecar: host:port or unix:///path (else listen.admin)")
	flags.String("key-file", "", "a file with the operators' key, where admin.key_sha256 is set")
	flags.StringP("output", "o", "table", "table for people, json for programs: the API's answer")
	return cmd
}

// asker asks the admin API for one verb.
type asker struct {
	ctx    context.Context
	std    stdio
	flags  *pflag.FlagSet
	client *listenerClient
	header http.Header // with the operators' key, if there is one
	json   bool
}

// newAsker returns one for the address that the flags or the configuration name.
func (p *program) newAsker(ctx context.Context, flags *pflag.FlagSet) (*asker, error) {
	client, err := p.adminClient(flags)
	if err != nil {
		return nil, err
	}
	a := &asker{ctx: ctx, std: p.std, flags: flags, client: client, header: http.Header{}}
	if path, _ := flags.GetString("key-file"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--key-file: %w", err)}
		}
		a.header.Set("X-Wxsidecar-Key", strings.TrimSpace(string(text)))
	}
	switch output, _ := flags.GetString("output"); output {
	case "table":
	case "json":
		a.json = true
	default:
		return nil, &exitError{exitUsage, fmt.Errorf("--output %s: give table or json", output)}
	}
	return a, nil
}

// adminClient returns a client for the listener that a flag or the configuration names.
func (p *program) adminClient(flags *pflag.FlagSet) (*listenerClient, error) {
	text, _ := flags.GetString("admin")
	setting := "--admin"
	if text == "" {
		l := p.load(flags)
		if err := l.ErrOf("listen.admin"); err != nil {
			return nil, &exitError{exitUsage, err}
		}
		text, setting = l.Config.Listen.Admin, "listen.admin"
	}
	return newListenerClient("admin", setting, text, "--admin")
}

// askPatience is longer than any operation of the API waits.
const askPatience = 40 * time.Second

// ask makes a call below /api/v1/ and returns the answer. An error of the API's, or no answer,
// ends the verb with 1.
func (a *asker) ask(method, path string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(a.ctx, askPatience, fmt.Errorf("nothing came within %s", askPatience))
	defer cancel()
	res, err := a.client.ask(ctx, method, "/api/v1/"+path+"?"+query.Encode(), a.header)
	if err != nil {
		return nil, &exitError{exitFailure, err}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, &exitError{exitFailure, fmt.Errorf("the admin listener %s broke off its answer: %w", a.client.address, err)}
	}
	if res.StatusCode >= 300 {
		return nil, &exitError{exitFailure, refusalOf(a.client.address, res, text)}
	}
	return text, nil
}

// refusalOf words an error of the API's.
func refusalOf(address config.Address, res *http.Response, text []byte) error {
	var e admin.Error
	if json.Unmarshal(text, &e) == nil && e.Code != "" {
		return &e
	}
	return fmt.Errorf("%s answers with %s, which is not wxsidecar's admin API; is it its admin listener?", address, res.Status)
}

// read asks, and returns the answer as it came as well.
func read[T any](a *asker, method, path string, query url.Values) (answer T, text []byte, err error) {
	if text, err = a.ask(method, path, query); err != nil {
		return answer, nil, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, nil, &exitError{exitFailure, fmt.Errorf("the admin listener %s answers with what this version cannot read: %w", a.client.address, err)}
	}
	return answer, text, nil
}

// show asks, and shows the answer as it came with -o json, else as table prints it.
func show[T any](a *asker, method, path string, query url.Values, table func(T)) (T, error) {
	answer, text, err := read[T](a, method, path, query)
	if err != nil {
		return answer, err
	}
	if a.json {
		_, _ = a.std.out.Write(text) // there is nowhere to report a failure to
	} else if table != nil {
		table(answer)
	}
	return answer, nil
}

// query returns the parameters of the flags that were given, under their own names.
func (a *asker) query(flags ...string) url.Values {
	q := url.Values{}
	for _, name := range flags {
		if f := a.flags.Lookup(name); f != nil && f.Changed {
			q.Set(name, f.Value.String())
		}
	}
	return q
}
