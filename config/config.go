package config

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// Config is the whole configuration, one field a section: defaults, overlaid by the file, the
// environment and the flags, in this order. Each key of the file is named by its
// yaml tag, and by an environment variable: WXSIDECAR_ and the path in upper
// case (WXSIDECAR_LISTEN_APPS, WXSIDECAR_COMPONENTS_0_APPID).
//
// A field of type [secret.Text] named x has a sibling x_file: the path of a file
// that holds the value. After loading, the Text holds the value wherever it came
// from, and DataDir the folder of the bolt file where nothing else was said; with
// memory: that is the working directory, and with a Redis store it is empty.
type Config struct {
	Listen     Listen      `yaml:"listen"`
	Components []Component `yaml:"components"`
	Accounts   []Account   `yaml:"accounts"`
	Apps       Apps        `yaml:"apps"`
	Push       Push        `yaml:"push"`
	Upstream   Upstream    `yaml:"upstream"`
	Connect    Connect     `yaml:"connect"`
	Alias      Alias       `yaml:"alias"`
	Limits     Limits      `yaml:"limits"`
	Renewal    Renewal     `yaml:"renewal"`
	// Where the key file and the CA certificate, `wxsidecar-ca.pem`, lie. With a Redis store there is no
	// default, and only the certificate is written there.
	DataDir string `yaml:"data_dir"`
	// `bolt:PATH`, a file that one sidecar owns, a [Redis URL](#a-store-on-redis), for several sidecars, or
	// `"memory:"` (in YAML with the quotes), for trials: it forgets everything at the end of the process. It may
	// contain `${NAME}`.
	Store     secret.Text `yaml:"store"`
	StoreFile string      `yaml:"store_file"`
	Seal      Seal        `yaml:"seal"`
	Tokens    Tokens      `yaml:"tokens"`
	Callers   []Caller    `yaml:"callers"`
	Events    []Event     `yaml:"events"`
	Admin     Admin       `yaml:"admin"`
	Shutdown  Shutdown    `yaml:"shutdown"`
	Log       Log         `yaml:"log"`
	Tracing   Tracing     `yaml:"tracing"`
}

// OneOrMore is a list of which one element may stand alone.
type OneOrMore []string

// Size is a number of bytes, written as 65536, 64KiB, 64MiB or 1GiB.
type Size int64

// Default returns what holds where nothing is said.
func Default() Config {
	return Config{
		Listen: Listen{
			Apps: "127.0.0.1:7080", Push: "0.0.0.0:7081", Metrics: "0.0.0.0:7082", Admin: "127.0.0.1:7083",
		},
		Apps:     Apps{SocketMode: "0660", Errors: "http"},
		Push:     Push{TimestampWindow: push.DefaultWindow, ReleaseCheck: true},
		Upstream: Upstream{URL: wechat.DefaultURL, Fallback: []string{wechat.FallbackURL}, Timeout: proxy.DefaultTimeout},
		Connect:  Connect{Allow: []string{"*.weixin.qq.com"}},
		Alias:    Alias{HTTP: Off, HTTPS: Off},
		Limits: Limits{
			MaxInflight: proxy.DefaultMaxInflight, MaxInflightPerAccount: proxy.DefaultMaxInflightPerAccount,
			ReplayBody: proxy.DefaultReplayBody, ReplayMemory: proxy.DefaultReplayMemory,
			Outbox: outbox.DefaultLimit,
		},
		Renewal:  Renewal{At: 0.75, Rate: 20, Workers: 8},
		Store:    secret.New("bolt:wxsidecar.db"),
		Shutdown: Shutdown{Grace: 25 * time.Second},
		Log:      Log{Level: "info", Format: "auto"},
	}
}
