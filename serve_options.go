package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// keyFileName is the file in data_dir that holds the seal key where none is
// configured.
const keyFileName = "wxsidecar.key"

// sealKeys returns the keys that seal the store: those that are configured, else
// the one in data_dir, which is made at the first start. A store in memory needs
// none that outlives it.
func sealKeys(c Config, log *slog.Logger) (*seal.Keyring, error) {
	current, err := currentKey(c, log)
	if err != nil {
		return nil, err
	}
	var previous []byte
	if c.Seal.PreviousKeyFile != "" {
		if previous, err = seal.ReadKeyFile(c.Seal.PreviousKeyFile); err != nil {
			return nil, fmt.Errorf("seal.previous_key_file: %w", err)
		}
	}
	return seal.New(current, previous)
}

func currentKey(c Config, log *slog.Logger) ([]byte, error) {
	if path := c.Seal.KeyFile; path != "" {
		if warning := seal.KeyFileWarning(path); warning != "" {
			log.Warn(warning)
		}
		key, err := seal.ReadKeyFile(path)
		if err != nil {
			return nil, fmt.Errorf("seal.key_file: %w", err)
		}
		return key, nil
	}
	if c.Store.Reveal() == "memory:" {
		key := make([]byte, seal.KeySize)
		_, _ = rand.Read(key) // documented never to fail
		return key, nil
	}
	path := filepath.Join(c.DataDir, keyFileName)
	if err := keyNotLost(c, path); err != nil {
		return nil, err
	}
	key, created, err := seal.ReadOrCreateKeyFile(path)
	if err != nil {
		return nil, err
	}
	text := "the store is sealed with the key in this file, as seal.key_file is not set; keep it apart from copies of the store"
	if created {
		text = "made a key file, as seal.key_file is not set: without it the store cannot be read"
	}
	log.Warn(text, "file", absolute(path))
	if warning := seal.KeyFileWarning(path); warning != "" {
		log.Warn(warning)
	}
	return key, nil
}

// absolute returns path for people, who do not know where the process stands.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// keyNotLost refuses to make a new key for a store that is sealed with one that is
// gone: it would hide the loss.
func keyNotLost(c Config, keyFile string) error {
	store, _ := strings.CutPrefix(c.Store.Reveal(), "bolt:")
	if _, err := os.Stat(keyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if info, err := os.Stat(store); err != nil || info.Size() == 0 {
		return nil
	}
	return fmt.Errorf("the key file %s is missing, and the store %s is sealed with it: put the file back, set seal.key_file, "+
		"or move the store away to begin anew (WeChat brings everything back with the next ticket)", keyFile, store)
}

// opened is a store with what closes it.
type opened struct {
	broker.Store
	close func() error
	// repaired: what was damaged was moved aside, so records may be missing or old.
	repaired bool
}

// openStore opens the configured store.
func openStore(c Config, keys *seal.Keyring, log *slog.Logger) (opened, error) {
	path, ok := strings.CutPrefix(c.Store.Reveal(), "bolt:")
	if !ok {
		return opened{Store: memstore.New(memstore.Options{}), close: func() error { return nil }}, nil
	}
	store, err := boltstore.Open(boltstore.Options{
		Path: path, Log: log,
		Check: func(name string, rec broker.Record) error {
			_, err := keys.Open(name, rec.Generation, rec.Sealed)
			return err
		},
	})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return opened{}, fmt.Errorf("open the store bolt:%s: %w; the folder must be writable for the user of the process", path, err)
	case err != nil:
		return opened{}, fmt.Errorf("open the store bolt:%s: %w", path, err)
	}
	return opened{Store: store, close: store.Close, repaired: store.Recovery() != nil}, nil
}

func newWeChat(c Config, own *proxy.OwnAddresses) (*wechat.Client, error) {
	roots, err := rootCAs(c.Upstream.CAFile)
	if err != nil {
		return nil, err
	}
	return wechat.New(wechat.Options{
		URLs: append([]string{c.Upstream.URL}, c.Upstream.Fallback...), RootCAs: roots, UserAgent: "wxsidecar/" + version(),
		Dial: proxy.NewDial(proxy.DialOptions{Resolver: c.Upstream.Resolver, Own: own}),
	})
}

// rootCAs returns the system's roots and those in file; nil, which means the
// system's, without a file.
func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		// The image may have none; then only the file's count.
		roots = x509.NewCertPool()
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("upstream.ca_file: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("upstream.ca_file: %s holds no certificate", file)
	}
	return roots, nil
}

// appsOptions returns what the configuration says of the apps listener.
func appsOptions(c Config) (proxy.Options, error) {
	roots, err := rootCAs(c.Upstream.CAFile)
	if err != nil {
		return proxy.Options{}, err
	}
	callers, err := proxyCallers(c.Callers)
	if err != nil {
		return proxy.Options{}, err
	}
	return proxy.Options{
		Upstream: proxy.UpstreamOptions{
			URL: c.Upstream.URL, Fallback: c.Upstream.Fallback, RootCAs: roots,
			Resolver: c.Upstream.Resolver, Timeout: c.Upstream.Timeout,
		},
		DefaultAppID: c.Apps.DefaultAppID, AllowedHosts: c.Apps.AllowedHosts, ErrorsAsHTTP200: c.Apps.Errors == "200",
		Limits: proxy.Limits{
			MaxInflight: c.Limits.MaxInflight, MaxInflightPerAccount: c.Limits.MaxInflightPerAccount,
			ReplayBody: int(c.Limits.ReplayBody), ReplayMemory: int(c.Limits.ReplayMemory),
		},
		Callers: callers, ExposeTokens: c.Tokens.Expose, Connect: proxy.ConnectOptions{Allow: c.Connect.Allow},
	}, nil
}

func proxyCallers(configured []CallerConfig) ([]proxy.Caller, error) {
	callers := make([]proxy.Caller, len(configured))
	for i, c := range configured {
		callers[i] = proxy.Caller{Name: c.Name, AppIDs: c.AppIDs, Allow: c.Allow, Deny: c.Deny}
		if n, err := hex.Decode(callers[i].KeySHA256[:], []byte(c.KeySHA256)); err != nil || n != len(callers[i].KeySHA256) {
			return nil, fmt.Errorf("%s.key_sha256: not 64 hexadecimal digits", indexed("callers", i))
		}
	}
	return callers, nil
}

func pushComponents(configured []ComponentConfig) []push.Component {
	components := make([]push.Component, len(configured))
	for i, c := range configured {
		keys := []push.Key{{Token: c.PushToken, EncodingAESKey: c.EncodingAESKey}}
		if previous := c.Previous; !previous.PushToken.IsZero() || !previous.EncodingAESKey.IsZero() {
			keys = append(keys, push.Key{Token: previous.PushToken, EncodingAESKey: previous.EncodingAESKey})
		}
		components[i] = push.Component{AppID: c.AppID, Keys: keys}
	}
	return components
}

func brokerComponents(configured []ComponentConfig) []broker.ComponentConfig {
	components := make([]broker.ComponentConfig, len(configured))
	for i, c := range configured {
		components[i] = broker.ComponentConfig{AppID: c.AppID, Secret: c.Secret}
	}
	return components
}

func brokerAccounts(configured []AccountConfig) []broker.AccountConfig {
	accounts := make([]broker.AccountConfig, len(configured))
	for i, c := range configured {
		accounts[i] = broker.AccountConfig{AppID: c.AppID, Secret: c.Secret}
	}
	return accounts
}
