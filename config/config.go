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
// from.
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
	// DataDir is where the key file and the CA certificate lie. Empty means the folder of
	// the bolt file, and with memory: the working directory; [Load] fills it. With a Redis
	// store it stays empty, and the certificate is in no file.
	DataDir string `yaml:"data_dir"`
	// Store is bolt:PATH, the URL of a Redis store, which may hold a password, or memory:.
	// ${NAME} anywhere in it stands for a variable.
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

// Listen says where each listener listens: host:port (port 0 is any free
// one), unix:///path, or off.
type Listen struct {
	Apps    string `yaml:"apps"`
	Push    string `yaml:"push"`
	Metrics string `yaml:"metrics"`
	Admin   string `yaml:"admin"`
}

// Component is one third-party platform, as its page in WeChat's console
// shows it.
type Component struct {
	AppID      string      `yaml:"appid"`
	Secret     secret.Text `yaml:"secret"`
	SecretFile string      `yaml:"secret_file"`
	// PushToken is what WeChat signs its pushes with (消息校验Token).
	PushToken     secret.Text `yaml:"push_token"`
	PushTokenFile string      `yaml:"push_token_file"`
	// EncodingAESKey is the 43 characters that pushes are encrypted with (消息加解密Key).
	EncodingAESKey     secret.Text  `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string       `yaml:"encoding_aes_key_file"`
	Previous           PreviousPush `yaml:"previous"`
}

// PreviousPush is what a component's pushes may still be signed and
// encrypted with while a change in WeChat's console spreads. Empty values fall
// back to the current ones.
type PreviousPush struct {
	PushToken          secret.Text `yaml:"push_token"`
	PushTokenFile      string      `yaml:"push_token_file"`
	EncodingAESKey     secret.Text `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string      `yaml:"encoding_aes_key_file"`
}

// Account is an own account with its AppSecret, served by stable_token.
type Account struct {
	AppID      string      `yaml:"appid"`
	Secret     secret.Text `yaml:"secret"`
	SecretFile string      `yaml:"secret_file"`
	// PushToken is what WeChat signs the account's messages with (令牌, Token); empty if they
	// go elsewhere.
	PushToken     secret.Text `yaml:"push_token"`
	PushTokenFile string      `yaml:"push_token_file"`
	// EncodingAESKey is what messages are encrypted with (消息加解密密钥); empty for plain mode
	// (明文模式).
	EncodingAESKey     secret.Text `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string      `yaml:"encoding_aes_key_file"`
}

// Apps is about the apps listener.
type Apps struct {
	// DefaultAppID is the account of calls that name none; empty for no such account.
	DefaultAppID string `yaml:"default_appid"`
	// DefaultComponent is the component of calls for a merchant that has authorised
	// several, and that name none; empty for no such component.
	DefaultComponent string `yaml:"default_component"`
	// AllowedHosts are accepted as Host beside loopback names and the upstream's.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// SocketMode is the octal mode of a unix:// socket.
	SocketMode string `yaml:"socket_mode"`
	// Errors is http, or 200 for SDKs that drop the body of any other status.
	Errors string `yaml:"errors"`
}

// Push is about the push listener.
type Push struct {
	// PublicURL is the world's address of the push listener. With it the pages on
	// which merchants authorise are served; empty for none.
	PublicURL string `yaml:"public_url"`
	// LandingURL is where a merchant goes on to after authorising; empty for none.
	LandingURL string `yaml:"landing_url"`
	// LandingSecret signs the query that LandingURL gets.
	LandingSecret     secret.Text `yaml:"landing_secret"`
	LandingSecretFile string      `yaml:"landing_secret_file"`
	// LoginURL takes the place of WeChat's hosts in the links to its authorization
	// pages, for trials; empty for WeChat's.
	LoginURL string `yaml:"login_url"`
	// ForwardedFor takes the last address of X-Forwarded-For for the visitor's.
	ForwardedFor bool `yaml:"forwarded_for"`
	// TimestampWindow is how far a push's timestamp may lie from WeChat's now.
	TimestampWindow time.Duration `yaml:"timestamp_window"`
	// ReleaseCheck answers WeChat's release check of a component.
	ReleaseCheck bool `yaml:"release_check"`
}

// Upstream is about WeChat's API hosts.
type Upstream struct {
	URL string `yaml:"url"`
	// Fallback hosts take over when URL fails. The default holds only while URL
	// has its default too.
	Fallback []string `yaml:"fallback"`
	// CAFile holds extra root certificates in PEM; empty for none.
	CAFile string `yaml:"ca_file"`
	// Resolver is host:port of a DNS server that is asked instead of the system.
	Resolver string `yaml:"resolver"`
	// Proxy is the way out to WeChat: http, https or socks5://[user:password@]host:port;
	// empty for the straight one. ${NAME} anywhere in it stands for a variable.
	Proxy     secret.Text `yaml:"proxy"`
	ProxyFile string      `yaml:"proxy_file"`
	// Timeout is from the last byte of a request to the first of its answer.
	Timeout time.Duration `yaml:"timeout"`
}

// Connect is about CONNECT on the apps listener.
type Connect struct {
	// Allow are the hosts that may be tunnelled to untouched: a name, *.name, or *.
	Allow []string `yaml:"allow"`
}

// Alias has the listeners that stand in for api.weixin.qq.com where a hosts
// file points it here.
type Alias struct {
	HTTP  string `yaml:"http"`
	HTTPS string `yaml:"https"`
}

// Limits bounds what is held at once.
type Limits struct {
	MaxInflight           int  `yaml:"max_inflight"`
	MaxInflightPerAccount int  `yaml:"max_inflight_per_account"`
	ReplayBody            Size `yaml:"replay_body"`
	ReplayMemory          Size `yaml:"replay_memory"`
	// Outbox bounds authorization events that wait for their targets, and dead letters.
	Outbox Size `yaml:"outbox"`
}

// Renewal is about renewals ahead of time.
type Renewal struct {
	// At is the share of a token's life after which it is renewed.
	At float64 `yaml:"at"`
	// Rate is how many renewals may start in a second.
	Rate float64 `yaml:"rate"`
	// Workers is how many renewals may run at once; see [broker.Options].
	Workers int `yaml:"workers"`
}

// Seal is about the key that seals every secret in the store.
type Seal struct {
	KeyFile         string `yaml:"key_file"`
	PreviousKeyFile string `yaml:"previous_key_file"`
}

// Tokens says what an app gets that fetches tokens itself.
type Tokens struct {
	// Expose gives out real tokens instead of handles.
	Expose bool `yaml:"expose"`
}

// OneOrMore is a list of which one element may stand alone.
type OneOrMore []string

// Caller is one app that may call, and what it may do.
type Caller struct {
	Name string `yaml:"name"`
	// KeySHA256 are the SHA-256 of the caller's keys, 64 hexadecimal digits each: one,
	// or several while it changes from one to another.
	KeySHA256 OneOrMore `yaml:"key_sha256"`
	// AppIDs are the accounts that it may call for; empty for all.
	AppIDs []string `yaml:"appids"`
	// Components are the configured components that it may act through; empty for all.
	Components []string `yaml:"components"`
	// Allow and Deny are paths, with * for any ending. An empty Allow allows all;
	// Deny wins.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// Event is one target of relayed events and messages; see [relay.TargetOptions].
type Event struct {
	URL       string   `yaml:"url"`
	InfoTypes []string `yaml:"info_types"`
	MsgTypes  []string `yaml:"msg_types"`
	Events    []string `yaml:"events"`
	AppIDs    []string `yaml:"appids"`
	// Components are configured components.
	Components []string `yaml:"components"`
	// Format is xml or json; empty means xml.
	Format string `yaml:"format"`
	// Secret signs what is delivered; empty for no signature.
	Secret     secret.Text `yaml:"secret"`
	SecretFile string      `yaml:"secret_file"`
}

// Admin is about the admin listener.
type Admin struct {
	// KeySHA256 is the SHA-256 of the operators' key, 64 hexadecimal digits; empty
	// lets in whoever reaches the listener, which must then be on loopback.
	KeySHA256 string `yaml:"key_sha256"`
	// Pprof serves Go's profiles under /debug/pprof/.
	Pprof bool `yaml:"pprof"`
}

// Shutdown is about the way from SIGTERM to the end.
type Shutdown struct {
	// Delay is how long calls are still taken after /readyz has turned to 503.
	Delay time.Duration `yaml:"delay"`
	// Grace is how long, after Delay, calls under way may take to end.
	Grace time.Duration `yaml:"grace"`
}

// Log is about the log on stderr.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is text, json, or auto: text on a terminal, else json.
	Format string `yaml:"format"`
	// Access logs each call of an app in a line.
	Access bool `yaml:"access"`
}

// Tracing is about W3C traces, which pass from apps to WeChat.
type Tracing struct {
	// Make gives a call that is of no trace one of its own.
	Make bool `yaml:"make"`
}

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
