package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
)

// hints say what to do about what Redis answers, by the first word of the answer.
var hints = map[string]string{
	"NOAUTH":      "Redis wants a password: put it into the URL, or name its file with password_file",
	"WRONGPASS":   "Redis refuses the user or the password of the URL; compare both with its ACL (ACL LIST), and write what is special in them as escapes, %40 for @",
	"READONLY":    "this server is a read-only replica: name the primary, or let Sentinels find it (redis-sentinel://)",
	"LOADING":     "Redis still loads its data",
	"MASTERDOWN":  "this replica has lost its primary",
	"CLUSTERDOWN": "the Cluster does not serve the slot of these keys",
	"TRYAGAIN":    "the slot of these keys is moving to another node",
	"OOM":         "Redis has no memory left: raise maxmemory",
	"MISCONF":     "Redis cannot write to its disk, and so takes no writes",
	"NOREPLICAS":  "Redis takes no writes, as too few replicas follow it",
	"BUSY":        "a script of somebody else keeps Redis busy",
}

// errOddAnswer is for an answer that is not of the form in which the script gives it.
var errOddAnswer = errors.New("the answer is none that the script gives; is another program than Redis behind this address?")

// explain puts a hint before an error of an operation whose caller has ctx, and which had within.
func (s *Store) explain(ctx, within context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if errors.Is(err, context.DeadlineExceeded) {
		ours, _ := within.Deadline()
		if callers, ok := ctx.Deadline(); ok && !ours.Before(callers) {
			return context.DeadlineExceeded // a connection may see the end before the context does
		}
		return errNoAnswer
	}
	return hint(err, s.rights())
}

// hint says what to do about what Redis answers. rights is what to do where the user lacks one.
func hint(err error, rights string) error {
	if errors.Is(err, rueidis.ErrNoSlot) {
		return fmt.Errorf("%s: %w", hints["CLUSTERDOWN"], err)
	}
	answer, ok := rueidis.IsRedisErr(err)
	if !ok {
		return err
	}
	if denied(answer) {
		return fmt.Errorf("the user lacks a right; %s: %w", rights, err)
	}
	if hint := hints[word(answer)]; hint != "" {
		return fmt.Errorf("%s: %w", hint, err)
	}
	return err
}

// word is what an answer of Redis begins with, which tells its sort.
func word(answer *rueidis.RedisError) string {
	first, _, _ := strings.Cut(answer.Error(), " ")
	return first
}

// denied: a script's command that is not allowed is told as ERR.
func denied(answer *rueidis.RedisError) bool {
	return word(answer) == "NOPERM" || strings.Contains(answer.Error(), "ACL failure in script") || strings.Contains(answer.Error(), "executing the script can't")
}

// causeOf tells apart what an outage may come from, so that its news is told once. Silence is one
// cause: a frozen server is met as no answer, a cut connection and a refused one in turn.
func causeOf(err error) string {
	var answer *rueidis.RedisError
	if errors.As(err, &answer) {
		return word(answer)
	}
	return "silence"
}

// rights says which rules of Redis's access control list a user needs.
func (s *Store) rights() string {
	rules := "give it all of: ~{" + s.target.Prefix + "}:* " + commandRules
	if s.target.DB != 0 {
		rules += " +select"
	}
	switch s.target.Kind {
	case redisurl.Sentinel:
		rules += " +role"
	case redisurl.Cluster:
		rules += " +cluster|slots +cluster|shards +asking"
	case redisurl.Single:
	}
	return rules
}

// startError says what keeps t from being connected to. rights is as [hint] has it.
func startError(t redisurl.Target, err error, rights string) error {
	return fmt.Errorf("%s: %w", t, startHint(t, err, rights))
}

func startHint(t redisurl.Target, err error, rights string) error {
	text := err.Error()
	switch {
	case errors.Is(err, rueidis.ErrNoCache) && strings.Contains(text, "NOPERM"):
		return fmt.Errorf("the user lacks a right; %s: %s", rights, firstLine(text))
	case errors.Is(err, rueidis.ErrNoCache):
		return fmt.Errorf("the server does not offer RESP3 with client tracking; %s is needed: %s", needed, firstLine(text))
	case t.Kind == redisurl.Sentinel && strings.Contains(text, "No such master"):
		return fmt.Errorf("the Sentinels know no primary of the name %q; it is in their line \"sentinel monitor NAME …\": %w", t.Master, err)
	case t.Kind == redisurl.Sentinel && strings.Contains(strings.ToLower(text), "unknown command 'sentinel"):
		return fmt.Errorf("this is no Sentinel (their port is 26379 mostly); for a server write redis://: %w", err)
	case t.Kind == redisurl.Cluster && strings.Contains(text, "cluster support disabled"):
		return fmt.Errorf("the server is not in cluster mode; write redis:// in the place of redis-cluster://: %w", err)
	}
	if _, ok := rueidis.IsRedisErr(err); ok {
		return hint(err, rights)
	}
	if t.TLS {
		return fmt.Errorf("cannot connect; is Redis running, the address right, and TLS on at that port? %w", err)
	}
	if strings.Contains(text, "unknown message type") || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("no Redis answers there, or one that wants TLS: compare the port, or write rediss:// (tls=true for Sentinels and a Cluster): %w", err)
	}
	return fmt.Errorf("cannot connect; is Redis running, and the address right? %w", err)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
