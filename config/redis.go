package config

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
)

const (
	redisHint = "write it like redis://user:password@10.0.0.9:6379, rediss:// for TLS, redis-sentinel://host,host/master or redis-cluster://host,host"
	// sharedKeyHint says where the key comes from that replicas share.
	sharedKeyHint = "sidecars that share a store share its key: take the key file of the store that you come from, or make one with " +
		"openssl rand -hex 32 > seal.key (mode 0600), and give every replica the same"
)

// IsRedis reports whether store is the URL of a Redis store, which sidecars share.
func IsRedis(store string) bool { return redisurl.Is(store) }

// ShownStore returns what may be shown of the text of a store.
func ShownStore(store string) string {
	if !IsRedis(store) {
		return store
	}
	target, err := redisurl.Parse(store)
	if err != nil {
		return "a Redis store"
	}
	return target.String()
}

// CheckRedis returns what is wrong with the URL of a Redis store or with the files that it
// names, and what to do. Neither shows a part of the URL that may be a password. Nobody is
// asked.
func CheckRedis(url string) (reason, hint string) {
	if inQuotes(url) {
		return "stands in quotes that are part of the value", quotesHint
	}
	if reason, hint := foreignCharacter(url); reason != "" {
		return reason, "write it again" + hint
	}
	target, err := redisurl.Parse(url)
	if err != nil {
		return err.Error(), redisHint
	}
	for _, file := range []struct{ name, path string }{
		{"password_file", target.PasswordFile}, {"ca_file", target.CAFile}, {"cert_file", target.CertFile}, {"key_file", target.KeyFile},
	} {
		if file.path == "" {
			continue
		}
		if !filepath.IsAbs(file.path) {
			return file.name + " in the URL is a relative path", "write the absolute path"
		}
		if err := readable(file.path); err != nil {
			return file.name + " in the URL cannot be read: " + cause(err), unreadableHint
		}
	}
	return "", ""
}

// readable returns why the file cannot be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	return err
}

func (l *Loaded) validateRedis(url string) {
	if reason, hint := CheckRedis(url); reason != "" {
		l.fault("store", "", reason, hint)
	}
	if l.Config.Seal.KeyFile == "" && !l.faulty("seal.key_file") {
		l.fault("seal.key_file", "", "missing; with a Redis store it must be given", sharedKeyHint)
	}
}
