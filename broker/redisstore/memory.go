package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// markLength is how long the mark before each value is: it tells who wrote it, so that a Remember
// whose answer was lost knows its own value again.
const markLength = 16

// Remember implements [store.Memory].
func (s *Store) Remember(ctx context.Context, name string, value []byte, ttl time.Duration) (kept []byte, mine bool, err error) {
	if ttl < time.Millisecond {
		return nil, false, fmt.Errorf("remember %s: for %s is not at all", name, ttl)
	}
	marked := random(markLength/2) + string(value)
	answer, err := s.do(ctx, rememberScript, []string{s.keys.memory + name}, []string{marked, milliseconds(ttl)})
	if err != nil {
		return nil, false, fmt.Errorf("remember %s: %w", name, err)
	}
	text, err := answer.ToString()
	if err == nil && len(text) < markLength {
		err = errors.New("not a value of this store")
	}
	if err != nil {
		return nil, false, fmt.Errorf("remember %s: %w", name, err)
	}
	return []byte(text[markLength:]), text == marked, nil
}

// Replace implements [store.Memory]. It is sent once: after an error it may be done or not.
func (s *Store) Replace(ctx context.Context, name string, old, value []byte, ttl time.Duration) (bool, error) {
	keep := "1"
	if value == nil {
		keep, ttl = "0", time.Second
	}
	if ttl < time.Millisecond {
		return false, fmt.Errorf("replace %s: for %s is not at all", name, ttl)
	}
	answer, err := s.do(ctx, replaceScript, []string{s.keys.memory + name}, []string{string(old), keep, random(markLength/2) + string(value), milliseconds(ttl)})
	if err != nil {
		return false, fmt.Errorf("replace %s: %w", name, err)
	}
	replaced, err := answer.AsInt64()
	if err != nil {
		return false, fmt.Errorf("replace %s: %w", name, err)
	}
	return replaced == 1, nil
}
