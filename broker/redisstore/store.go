package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// answerWithin bounds each operation: a read without a deadline is tried again until Redis is
// back, and nobody is served by an answer after that.
const answerWithin = 1500 * time.Millisecond

// Options are what [Open] needs. URL must be set.
type Options struct {
	// URL is as package redisurl has it.
	URL secret.Text
	// Name is this sidecar's, as others see it in records and changes; "" makes one of the
	// host's name. It need not be unique, as a random part is added.
	Name string
	// Log gets what a person should know that is no error; nil for nowhere.
	Log *slog.Logger
	// Now is for measuring only; nil for time.Now.
	Now func() time.Time
}

// Store is a [store.Shared] in Redis. Use [Open]. It is safe for concurrent use.
type Store struct {
	target   redisurl.Target
	keys     keys
	writer   string
	now      func() time.Time
	client   rueidis.Client
	identity string // that which Open found; Watch goes on from it
	pushed   pushes
	entries  ownEntries
}

var _ store.Shared = (*Store)(nil)

// Open connects to Redis and checks that it can serve as a store: version, rights, role. An error
// says what to do, and wraps [ErrUnavailable] where waiting may do. The caller closes the store.
func Open(ctx context.Context, o Options) (*Store, error) {
	target, err := redisurl.Parse(o.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("the URL of the store: %w", err)
	}
	s := &Store{target: target, keys: newKeys(target.Prefix), now: o.Now, pushed: make(pushes, 1)}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if s.writer, err = writerName(o.Name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.connect(); err != nil {
		return nil, markUnavailable(err)
	}
	if err := s.start(ctx, o.Log); err != nil {
		s.client.Close()
		return nil, markUnavailable(err)
	}
	return s, nil
}

// start is what Open does once there is a connection.
func (s *Store) start(ctx context.Context, log *slog.Logger) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.checkRights(ctx); err != nil {
		return err
	}
	s.checkMemory(ctx, log)
	id, _, err := s.identify(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.target, err)
	}
	s.identity = id
	return nil
}

// Close ends the connections. Leases that are still held end by themselves.
func (s *Store) Close() error {
	s.client.Close()
	return nil
}

// writerName adds a random part: a sidecar leaves out news of what it wrote itself, and must
// not take another's for its own, nor its predecessor's.
func writerName(name string) (string, error) {
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("host name: %w; give the sidecar a name", err)
		}
	}
	return name + "~" + random(4), nil
}

// random returns 2n hexadecimal digits.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented never to fail
	return hex.EncodeToString(b)
}

// do runs a script within the time that an operation has.
func (s *Store) do(ctx context.Context, script *rueidis.Lua, keys, args []string) (rueidis.RedisMessage, error) {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := ctx.Err(); err != nil { // rueidis asks only once it has a connection
		return rueidis.RedisMessage{}, err
	}
	msg, err := script.Exec(within, s.client, keys, args).ToMessage()
	if err != nil {
		return rueidis.RedisMessage{}, s.explain(ctx, within, err)
	}
	return msg, nil
}

// ask sends commands in one go within the time that an operation has. Its error is that of the
// connection, or the first that Redis answered.
func (s *Store) ask(ctx context.Context, commands ...rueidis.Completed) ([]rueidis.RedisMessage, error) {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers := make([]rueidis.RedisMessage, len(commands))
	for i, result := range s.client.DoMulti(within, commands...) {
		msg, err := result.ToMessage()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, s.explain(ctx, within, err)
		}
		answers[i] = msg
	}
	return answers, nil
}

// keys makes the names of Redis's keys.
type keys struct{ names, changes, id, fence, peers, record, lease, memory string }

func newKeys(prefix string) keys {
	tag := "{" + prefix + "}:"
	return keys{
		names: tag + "names", changes: tag + "changes", id: tag + "id", fence: tag + "fence", peers: tag + "peers",
		record: tag + "r:", lease: tag + "l:", memory: tag + "m:",
	}
}

var errNoAnswer = errors.New("no answer within " + answerWithin.String())
