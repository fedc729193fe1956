package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// newProxy returns the proxy of upstream.proxy, or nil for none.
func newProxy(c config.Config, own *dial.OwnAddresses) (*dial.Proxy, error) {
	if c.Upstream.Proxy.IsZero() {
		return nil, nil
	}
	roots, err := rootCAs(c.Upstream.CAFile)
	if err != nil {
		return nil, err
	}
	return dial.NewProxy(c.Upstream.Proxy.Reveal(), roots, dial.Options{Resolver: c.Upstream.Resolver, Own: own})
}

func newWeChat(c config.Config, way dial.Options) (*wechat.Client, error) {
	roots, err := rootCAs(c.Upstream.CAFile)
	if err != nil {
		return nil, err
	}
	return wechat.New(wechat.Options{
		URLs: append([]string{c.Upstream.URL}, c.Upstream.Fallback...), RootCAs: roots, UserAgent: "wxsidecar/" + version(),
		Dial: dial.New(way),
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

// appsOptions returns the options of the apps' server that the configuration sets.
func appsOptions(c config.Config) (proxy.Options, error) {
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
		DefaultAppID: c.Apps.DefaultAppID, DefaultComponent: c.Apps.DefaultComponent, AllowedHosts: c.Apps.AllowedHosts, ErrorsAsHTTP200: c.Apps.Errors == "200",
		Limits: proxy.Limits{
			MaxInflight: c.Limits.MaxInflight, MaxInflightPerAccount: c.Limits.MaxInflightPerAccount,
			ReplayBody: int(c.Limits.ReplayBody), ReplayMemory: int(c.Limits.ReplayMemory),
		},
		Callers: callers, ExposeTokens: c.Tokens.Expose, MakeTraces: c.Tracing.Make, Connect: proxy.ConnectOptions{Allow: c.Connect.Allow},
	}, nil
}

func proxyCallers(configured []config.Caller) ([]proxy.Caller, error) {
	callers := make([]proxy.Caller, len(configured))
	for i, c := range configured {
		callers[i] = proxy.Caller{Name: c.Name, AppIDs: c.AppIDs, Components: c.Components, Allow: c.Allow, Deny: c.Deny}
		for _, text := range c.KeySHA256 {
			hash, err := hex.DecodeString(text)
			if err != nil || len(hash) != sha256.Size {
				return nil, fmt.Errorf("callers[%d].key_sha256: not 64 hexadecimal digits", i)
			}
			callers[i].KeySHA256 = append(callers[i].KeySHA256, [sha256.Size]byte(hash))
		}
	}
	return callers, nil
}

func pushComponents(configured []config.Component) []push.Component {
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

// pushAccounts returns the own accounts whose messages come here.
func pushAccounts(configured []config.Account) []push.Account {
	var accounts []push.Account
	for _, c := range configured {
		if !c.PushToken.IsZero() {
			accounts = append(accounts, push.Account{AppID: c.AppID, Key: push.Key{Token: c.PushToken, EncodingAESKey: c.EncodingAESKey}})
		}
	}
	return accounts
}

func brokerComponents(configured []config.Component) []broker.ComponentConfig {
	components := make([]broker.ComponentConfig, len(configured))
	for i, c := range configured {
		components[i] = broker.ComponentConfig{AppID: c.AppID, Secret: c.Secret}
	}
	return components
}

func brokerAccounts(configured []config.Account) []broker.AccountConfig {
	accounts := make([]broker.AccountConfig, len(configured))
	for i, c := range configured {
		accounts[i] = broker.AccountConfig{AppID: c.AppID, Secret: c.Secret}
	}
	return accounts
}
