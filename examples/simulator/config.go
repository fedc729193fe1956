package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// errHelp is what parse returns when only the help was asked for.
var errHelp = errors.New("help")

// config is what the simulator serves. The file has the same names; flags that
// are given beat it.
type config struct {
	Listen              string            `yaml:"listen"`
	Control             string            `yaml:"control"`
	TLS                 bool              `yaml:"tls"`
	CAFile              string            `yaml:"ca_file"`
	TokenLife           duration          `yaml:"token_life"`
	Overlap             duration          `yaml:"overlap"`
	PushEvery           duration          `yaml:"push_every"`
	RotateRefreshTokens bool              `yaml:"rotate_refresh_tokens"`
	StickyTokens        bool              `yaml:"sticky_tokens"`
	Seed                uint64            `yaml:"seed"`
	Components          []componentConfig `yaml:"components"`
	Accounts            []accountConfig   `yaml:"accounts"`
}

type componentConfig struct {
	AppID          string `yaml:"appid"`
	Secret         string `yaml:"secret"`
	PushToken      string `yaml:"push_token"`
	EncodingAESKey string `yaml:"encoding_aes_key"`
	PushURL        string `yaml:"push_url"`
	MessageURL     string `yaml:"message_url"`
	// AuthorizeDomain is the host that the page with the authorization link is on.
	AuthorizeDomain string `yaml:"authorize_domain"`
	// Authorizers is how many accounts with made-up appids have authorised it,
	// beside those of AuthorizerAppIDs.
	Authorizers      int      `yaml:"authorizers"`
	AuthorizerAppIDs []string `yaml:"authorizer_appids"`
}

type accountConfig struct {
	AppID          string `yaml:"appid"`
	Secret         string `yaml:"secret"`
	PushToken      string `yaml:"push_token"`
	EncodingAESKey string `yaml:"encoding_aes_key"`
	MessageURL     string `yaml:"message_url"`
	Compatible     bool   `yaml:"compatible"`
}

// duration is a time.Duration that reads "90s" from YAML and JSON.
type duration struct{ time.Duration }

// UnmarshalText reads Go's form of durations.
func (d *duration) UnmarshalText(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b))
	return err
}

// MarshalText writes Go's form of durations.
func (d duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// defaults is one component with three authorizers, and one own account. The
// credentials are made up and belong to nobody.
func defaults() config {
	return config{
		Listen:  "127.0.0.1:8080",
		Control: "127.0.0.1:8081",
		Components: []componentConfig{{
			AppID:           "wx7f00c0de00000001",
			Secret:          "0123456789abcdef0123456789abcdef",
			PushToken:       "simulatorPushToken",
			EncodingAESKey:  "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
			AuthorizeDomain: "127.0.0.1",
			Authorizers:     3,
		}},
		Accounts: []accountConfig{{AppID: "wx00000000000000aa", Secret: "fedcba9876543210fedcba9876543210"}},
	}
}

// parse reads the flags, and the file that they name.
func parse(args []string, stderr io.Writer) (config, error) {
	c := defaults()
	p := &c.Components[0]
	fs := flag.NewFlagSet("simulator", flag.ContinueOnError)
	fs.SetOutput(stderr)
	file := fs.String("config", "", "YAML `file` with the settings; flags beat it")
	set := map[string]func(*config){}
	str := func(name, value, usage string, apply func(*config, string)) {
		fs.Func(name, usage+" (default "+fmt.Sprintf("%q", value)+")", func(v string) error {
			set[name] = func(c *config) { apply(c, v) }
			return nil
		})
	}
	str("listen", c.Listen, "`address` of the API", func(c *config, v string) { c.Listen = v })
	str("control", c.Control, "`address` of the control API", func(c *config, v string) { c.Control = v })
	str("ca-file", "", "`file` to write the CA certificate to, with -tls", func(c *config, v string) { c.CAFile = v })
	str("component", p.AppID, "`appid` of the component", func(c *config, v string) { c.Components[0].AppID = v })
	str("secret", p.Secret, "the component's `secret`", func(c *config, v string) { c.Components[0].Secret = v })
	str("push-token", p.PushToken, "the component's message check `token`", func(c *config, v string) { c.Components[0].PushToken = v })
	str("aes-key", p.EncodingAESKey, "the component's EncodingAESKey (43 `characters`)", func(c *config, v string) { c.Components[0].EncodingAESKey = v })
	str("push-url", "", "`URL` for authorization events; none: nothing is pushed", func(c *config, v string) { c.Components[0].PushURL = v })
	str("message-url", "", "`URL` for messages, with $APPID$", func(c *config, v string) { c.Components[0].MessageURL = v })
	str("authorize-domain", p.AuthorizeDomain, "`host` of the page with the authorization link", func(c *config, v string) { c.Components[0].AuthorizeDomain = v })
	flagVars(fs, set)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, errHelp
		}
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err := c.load(*file); err != nil {
		return c, err
	}
	for _, apply := range set {
		apply(&c)
	}
	return c, c.validate()
}

// flagVars adds the flags that are not plain texts.
func flagVars(fs *flag.FlagSet, set map[string]func(*config)) {
	long := func(name, usage string, field func(*config) *duration) {
		fs.Func(name, usage, func(v string) error {
			d, err := time.ParseDuration(v)
			set[name] = func(c *config) { field(c).Duration = d }
			return err
		})
	}
	long("token-life", "`duration` that tokens live (default 2h); all else scales with it", func(c *config) *duration { return &c.TokenLife })
	long("overlap", "`duration` that a replaced token still works (default token-life/24; negative: none)", func(c *config) *duration { return &c.Overlap })
	long("push-every", "`duration` between two ticket pushes (default token-life/12)", func(c *config) *duration { return &c.PushEvery })
	fs.BoolFunc("tls", "serve TLS under a throw-away CA", func(string) error {
		set["tls"] = func(c *config) { c.TLS = true }
		return nil
	})
	fs.BoolFunc("rotate", "give a new refresh token with every api_authorizer_token", func(string) error {
		set["rotate"] = func(c *config) { c.RotateRefreshTokens = true }
		return nil
	})
	fs.Func("authorizers", "`number` of made-up authorizers of the component (default 3)", func(v string) error {
		n, err := strconv.Atoi(v)
		set["authorizers"] = func(c *config) { c.Components[0].Authorizers = n }
		return err
	})
	fs.Func("account", "an own account as `appid:secret`; may be repeated", func(v string) error {
		appID, secret, ok := strings.Cut(v, ":")
		if !ok {
			return errors.New("want appid:secret")
		}
		former := set["account"]
		set["account"] = func(c *config) {
			if former != nil {
				former(c)
			}
			c.Accounts = slices.DeleteFunc(c.Accounts, func(a accountConfig) bool { return a.AppID == appID })
			c.Accounts = append(c.Accounts, accountConfig{AppID: appID, Secret: secret})
		}
		return nil
	})
}

// load reads the file over the defaults. Lists in the file replace theirs.
func (c *config) load(file string) error {
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read -config: %w", err)
	}
	c.Components, c.Accounts = nil, nil
	if err := yaml.Load(content, c, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return fmt.Errorf("read %s: %w%s", file, err, knownKeys(err))
	}
	if len(c.Components) == 0 {
		c.Components = defaults().Components
	}
	return nil
}

// validate refuses settings that would make the simulator useless.
func (c *config) validate() error {
	for i, p := range c.Components {
		switch {
		case p.AppID == "" || p.Secret == "":
			return fmt.Errorf("components[%d]: appid and secret must be set", i)
		case p.EncodingAESKey != "" && len(p.EncodingAESKey) != 43:
			return fmt.Errorf("components[%d].encoding_aes_key has %d characters: want 43", i, len(p.EncodingAESKey))
		case p.Authorizers < 0:
			return fmt.Errorf("components[%d].authorizers is %d: want 0 or more", i, p.Authorizers)
		case p.PushURL != "" && (p.PushToken == "" || p.EncodingAESKey == ""):
			return fmt.Errorf("components[%d]: push_url needs push_token and encoding_aes_key", i)
		case p.MessageURL != "" && (p.PushToken == "" || p.EncodingAESKey == ""):
			return fmt.Errorf("components[%d]: message_url needs push_token and encoding_aes_key", i)
		}
	}
	for i, a := range c.Accounts {
		switch {
		case a.AppID == "" || a.Secret == "":
			return fmt.Errorf("accounts[%d]: appid and secret must be set", i)
		case a.EncodingAESKey != "" && len(a.EncodingAESKey) != 43:
			return fmt.Errorf("accounts[%d].encoding_aes_key has %d characters: want 43", i, len(a.EncodingAESKey))
		case a.MessageURL != "" && a.PushToken == "":
			return fmt.Errorf("accounts[%d]: message_url needs push_token", i)
		case a.Compatible && a.EncodingAESKey == "":
			return fmt.Errorf("accounts[%d]: compatible needs encoding_aes_key", i)
		}
	}
	if c.TokenLife.Duration < 0 || c.PushEvery.Duration < 0 {
		return errors.New("token_life and push_every must not be negative")
	}
	return nil
}
