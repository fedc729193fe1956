package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
)

const (
	needed = "Redis 6.2 or later, or Valkey,"
	// commandRules are the commands of the scripts and of this package, as a user's rules.
	commandRules = "+client|tracking +ping +eval +evalsha +get +set +del +incr +pttl +pexpire +hset +hmget +zadd +zrem +zrangebylex +xadd +xrange +xrevrange +time +info"
)

// checkServer asks what is at the other end. HELLO needs no right.
func (s *Store) checkServer(ctx context.Context) error {
	answers, err := s.ask(ctx, s.client.B().Arbitrary("HELLO").ReadOnly())
	if err != nil {
		return startError(s.target, err, s.rights())
	}
	is, err := answers[0].AsMap()
	if err != nil {
		return fmt.Errorf("%s: the server does not tell what it is: %w", s.target, err)
	}
	told := func(key string) string {
		m := is[key]
		text, _ := m.ToString() // "" for what is not told
		return text
	}
	if err := s.misfit(told("version"), told("mode"), told("role")); err != nil {
		return fmt.Errorf("%s: %w", s.target, err)
	}
	return nil
}

// misfit says why a server cannot serve, or not at this URL.
func (s *Store) misfit(version, mode, role string) error {
	cluster := s.target.Kind == redisurl.Cluster
	switch {
	case tooOld(version):
		return fmt.Errorf("the server has version %s; %s is needed", version, needed)
	case mode == "sentinel":
		return errors.New("this is a Sentinel; write redis-sentinel://host/MASTER")
	case mode == "cluster" && !cluster:
		return errors.New("the server is in cluster mode; write redis-cluster:// in the place of " + scheme(s.target) + "://")
	case cluster && (mode != "cluster" || s.client.Mode() != rueidis.ClientModeCluster):
		return errors.New("the server is not in cluster mode; write redis:// in the place of redis-cluster://")
	case !cluster && (role == "replica" || role == "slave"):
		return errors.New(hints["READONLY"])
	}
	return nil
}

func scheme(t redisurl.Target) string {
	name, _, _ := strings.Cut(t.String(), "://")
	return name
}

// tooOld is for versions of the form 7.0.15; one that cannot be read passes.
func tooOld(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	return errMajor == nil && errMinor == nil && (major < 6 || major == 6 && minor < 2)
}

// checkRights runs each command of the scripts once, on keys of its own: a script that lacks a
// right would fail only where it comes to that command, when a lease is lost, say.
func (s *Store) checkRights(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	trials := s.trials("{" + s.target.Prefix + "}:check:" + random(8))
	names := make([]string, len(trials))
	for i, trial := range trials {
		names[i] = trial.Commands()[0]
	}
	for i, result := range s.client.DoMulti(within, trials...) {
		err := result.Error()
		answer, isAnswer := rueidis.IsRedisErr(err)
		switch {
		case err == nil, rueidis.IsRedisNil(err):
		case !isAnswer:
			return fmt.Errorf("%s: %w", s.target, s.explain(ctx, within, err))
		case denied(answer):
			return fmt.Errorf("%s: the user may not %s the keys {%s}:*; %s: %w", s.target, names[i], s.target.Prefix, s.rights(), err)
		case word(answer) != "NOSCRIPT" && word(answer) != "WRONGTYPE":
			return fmt.Errorf("%s: %s: %w", s.target, names[i], s.explain(ctx, within, err))
		}
	}
	return nil
}

// trials leave nothing behind, and what they write ends by itself if DEL is not allowed.
func (s *Store) trials(key string) []rueidis.Completed {
	b := s.client.B
	remove := func() rueidis.Completed { return b().Del().Key(key).Build() }
	soon := func() rueidis.Completed { return b().Pexpire().Key(key).Milliseconds(10_000).Build() }
	return []rueidis.Completed{
		b().Set().Key(key).Value("1").PxMilliseconds(10_000).Build(), b().Get().Key(key).Build(), b().Incr().Key(key).Build(), b().Pttl().Key(key).Build(), remove(),
		b().Hset().Key(key).FieldValue().FieldValue("g", "1").Build(), soon(), b().Hmget().Key(key).Field("g").Build(), remove(),
		b().Zadd().Key(key).ScoreMember().ScoreMember(0, "n").Build(), soon(), b().Zrangebylex().Key(key).Min("-").Max("+").Build(), b().Zrem().Key(key).Member("n").Build(), remove(),
		b().Xadd().Key(key).Id("*").FieldValue().FieldValue("n", "1").Build(), soon(), b().Xrange().Key(key).Start("-").End("+").Build(), b().Xrevrange().Key(key).End("+").Start("-").Build(), remove(),
		b().Eval().Script("return redis.call('TIME')").Numkeys(1).Key(key).Build(), b().Evalsha().Sha1(strings.Repeat("0", 40)).Numkeys(1).Key(key).Build(),
	}
}

// checkMemory warns of a Redis that throws keys away when its memory is full. It is no error:
// often one's own Redis is fine, and asking is forbidden.
func (s *Store) checkMemory(ctx context.Context, log *slog.Logger) {
	answers, err := s.ask(ctx, s.client.B().Info().Section("memory").Build())
	var text string
	if err == nil {
		text, err = answers[0].ToString()
	}
	if err != nil {
		log.Warn("cannot see whether Redis evicts keys when its memory is full; make sure that maxmemory-policy is noeviction", "store", s.target.String(), "cause", err)
		return
	}
	limit, policy := field(text, "maxmemory"), field(text, "maxmemory_policy")
	if policy != "" && policy != "noeviction" && limit != "0" {
		log.Warn("Redis evicts keys when its memory is full, and refresh tokens with them; set maxmemory-policy noeviction", "store", s.target.String(), "maxmemory", limit, "maxmemory_policy", policy)
	}
}

// field returns a value of INFO's answer, whose lines are name:value.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
