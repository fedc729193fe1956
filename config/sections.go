package config

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// The comment of a field is what docs/configuration.md says of its key, in Markdown: `make generate`
// writes it there. A field x_file needs none beside a secret x.

// Listen says where each listener listens: host:port (port 0 is any free
// one), unix:///path, or off.
type Listen struct {
	// Where the apps call. An address that other machines can reach needs `callers`.
	Apps string `yaml:"apps"`
	// Where WeChat's pushes arrive. Plain HTTP: end TLS in front of it.
	Push string `yaml:"push"`
	// `/metrics`, `/livez`, `/readyz`, `/tokenz`, `/ca.pem`. Nothing on it is secret.
	Metrics string `yaml:"metrics"`
	// The API for operators ([admin.md](admin.md)), which the verbs ask. An address that other machines can
	// reach needs `admin.key_sha256`.
	Admin string `yaml:"admin"`
}

// Component is one third-party platform, as its page in WeChat's console
// shows it.
type Component struct {
	// The third-party platform's appid.
	AppID string `yaml:"appid"`
	// Its AppSecret.
	Secret     secret.Text `yaml:"secret"`
	SecretFile string      `yaml:"secret_file"`
	// What WeChat signs pushes with: 消息校验Token in the console. Needed unless `listen.push` is off.
	PushToken     secret.Text `yaml:"push_token"`
	PushTokenFile string      `yaml:"push_token_file"`
	// What WeChat encrypts pushes with, 43 characters: 消息加解密Key in the console. Needed unless `listen.push` is
	// off.
	EncodingAESKey     secret.Text  `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string       `yaml:"encoding_aes_key_file"`
	Previous           PreviousPush `yaml:"previous"`
}

// PreviousPush is what a component's pushes may still be signed and
// encrypted with while a change in WeChat's console spreads. Empty values fall
// back to the current ones.
type PreviousPush struct {
	// Still accepted while a change in the console spreads. Empty: as the current one.
	PushToken     secret.Text `yaml:"push_token"`
	PushTokenFile string      `yaml:"push_token_file"`
	// Still accepted while a change in the console spreads. Empty: as the current one.
	EncodingAESKey     secret.Text `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string      `yaml:"encoding_aes_key_file"`
}

// Account is an own account with its AppSecret, served by stable_token.
type Account struct {
	// An own official account or mini program, whose AppSecret you have.
	AppID string `yaml:"appid"`
	// Its AppSecret. Its token comes from `/cgi-bin/stable_token`.
	Secret     secret.Text `yaml:"secret"`
	SecretFile string      `yaml:"secret_file"`
	// What WeChat signs the account's messages with: 令牌(Token) in the console. Only if its messages come here,
	// to `/wechat/<appid>/message`.
	PushToken     secret.Text `yaml:"push_token"`
	PushTokenFile string      `yaml:"push_token_file"`
	// What WeChat encrypts them with, 43 characters: 消息加解密密钥. With it only what is encrypted is taken (安全模式,
	// 兼容模式); without it, messages in plain text (明文模式), whose text WeChat does not sign.
	EncodingAESKey     secret.Text `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string      `yaml:"encoding_aes_key_file"`
}

// Apps is about the apps listener.
type Apps struct {
	// The account of calls that name none.
	DefaultAppID string `yaml:"default_appid"`
	// The component of calls for a merchant that has authorised several of them, where nothing else says which:
	// one of `components[].appid`. Without it such a call is refused as `ambiguous_component`.
	DefaultComponent string `yaml:"default_component"`
	// Names that apps may call the sidecar by, beside loopback names and WeChat's own.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// The mode of `unix://` sockets, octal.
	SocketMode string `yaml:"socket_mode"`
	// `http`: our own errors have a fitting HTTP status. `200`: always 200, for SDKs that drop the body of any
	// other.
	Errors string `yaml:"errors"`
}

// Push is about the push listener.
type Push struct {
	// The world's address of the push listener. With it merchants authorise on pages at `/wechat/<component
	// appid>/authorize`; see `docs/authorize.md`.
	PublicURL string `yaml:"public_url"`
	// Where a merchant goes on to after authorising, with a signed query. Empty: a page says what was
	// authorised.
	LandingURL string `yaml:"landing_url"`
	// What that query is signed with. Needed with `push.landing_url`.
	LandingSecret     secret.Text `yaml:"landing_secret"`
	LandingSecretFile string      `yaml:"landing_secret_file"`
	// A simulator's host, in place of WeChat's, in the links to the authorization page. For trials only.
	LoginURL string `yaml:"login_url"`
	// The last address of `X-Forwarded-For` is the visitor's, for the pages' limits. Set it where your proxy in
	// front appends to that header; else all visitors count as one.
	ForwardedFor bool `yaml:"forwarded_for"`
	// How far a push's timestamp may lie from WeChat's time.
	TimestampWindow time.Duration `yaml:"timestamp_window"`
	// Answer WeChat's [release check](messages.md#the-release-check) (全网发布检测).
	ReleaseCheck bool `yaml:"release_check"`
}

// Upstream is about WeChat's API hosts.
type Upstream struct {
	// Where WeChat's API is. `http` only for trials, on a loopback or private address.
	URL string `yaml:"url"`
	// Where calls go while that fails. The default holds only while `upstream.url` has its own.
	Fallback []string `yaml:"fallback"`
	// Root certificates in PEM, beside the system's.
	CAFile string `yaml:"ca_file"`
	// `host:port` of a DNS server to ask in place of the system and the hosts file. Needed where a hosts entry
	// points WeChat's names at the sidecar.
	Resolver string `yaml:"resolver"`
	// The way out to WeChat, for apps' calls, token calls and tunnels: `http://[user:password@]host:port`,
	// `https://…` (TLS with the proxy itself) or `socks5://…`; see below. It may contain `${NAME}`.
	Proxy     secret.Text `yaml:"proxy"`
	ProxyFile string      `yaml:"proxy_file"`
	// From the last byte of an app's request to the first of WeChat's answer.
	Timeout time.Duration `yaml:"timeout"`
}

// Connect is about CONNECT on the apps listener.
type Connect struct {
	// Hosts that CONNECT may tunnel to untouched: a name, `*.name`, `*` for any public host, or an address or
	// range (CIDR), with `:port` unless it is 443. What is not public needs its address or range here.
	Allow []string `yaml:"allow"`
}

// Alias has the listeners that stand in for api.weixin.qq.com where a hosts
// file points it here.
type Alias struct {
	// Stand in for api.weixin.qq.com where a hosts file points it here: plain HTTP, e.g. `127.0.0.1:80`.
	HTTP string `yaml:"http"`
	// The same with TLS, e.g. `127.0.0.1:443`; apps must trust the certificate that `wxsidecar ca` prints.
	HTTPS string `yaml:"https"`
}

// Limits bounds what is held at once.
type Limits struct {
	// Calls at once; more are answered 429.
	MaxInflight int `yaml:"max_inflight"`
	// The same for one account, so that a busy one leaves room for the others.
	MaxInflightPerAccount int `yaml:"max_inflight_per_account"`
	// Request bodies up to this size are kept, so that the call can be sent again with a newer token; they go
	// out once they are here whole, always with a `Content-Length`, since WeChat answers 412 to chunks. A longer
	// body passes as it comes and is not kept; a longer chunked one is refused (413).
	ReplayBody Size `yaml:"replay_body"`
	// What all of them together may take; those of more than 64 KiB take at most three quarters of it, so that
	// uploads never keep small calls out. Beyond it bodies pass without being kept, and those that are chunked
	// or must be read whole are refused for the moment (429).
	ReplayMemory Size `yaml:"replay_memory"`
	// Authorization events that wait for their targets in `events`, and those that were given up. At the bound
	// the latter make room, each with a line in the log; where there are none, WeChat's push is answered 500 and
	// comes again.
	Outbox Size `yaml:"outbox"`
}

// Renewal is about renewals ahead of time.
type Renewal struct {
	// The share of its life after which a token is renewed, at most 0.75. Not for own accounts: WeChat gives
	// those the same token until its last minutes.
	At float64 `yaml:"at"`
	// How many renewals a second may start that nobody waits for.
	Rate float64 `yaml:"rate"`
	// How many renewals may run at once; eight times as many while calls wait for them.
	Workers int `yaml:"workers"`
}

// Seal is about the key that seals every secret in the store.
type Seal struct {
	// The key that every secret in the store is sealed with: 64 hexadecimal digits, or 32 bytes in base64.
	// Without it one is made at the first start; with a Redis store it must be given.
	KeyFile string `yaml:"key_file"`
	// The former key, which still opens what it has sealed.
	PreviousKeyFile string `yaml:"previous_key_file"`
}

// Tokens says what an app gets that fetches tokens itself.
type Tokens struct {
	// `true`: apps that fetch tokens themselves get real ones, not handles.
	Expose bool `yaml:"expose"`
}

// Caller is one app that may call, and what it may do.
type Caller struct {
	// What logs and refusals call the caller.
	Name string `yaml:"name"`
	// The SHA-256 of its key: `printf %s KEY | sha256sum`. A list while the key changes: put the new one in
	// beside the old, reload, give the app the new key, and take the old one out. The handles of each key are
	// good while it is listed.
	KeySHA256 OneOrMore `yaml:"key_sha256"`
	// The accounts that it may call for; empty for all. A call in a component's own name is for the component.
	AppIDs []string `yaml:"appids"`
	// The components that it may act through, for their merchants and in their own name, each one of
	// `components[].appid`; empty for all. For a merchant that has authorised several it is also the choice
	// between them.
	Components []string `yaml:"components"`
	// The paths that it may call, `*` at the end for any; empty for all. The endpoints that give out handles
	// (`/cgi-bin/token`, `stable_token`, `api_component_token`, `api_authorizer_token`) need no place here,
	// unless `tokens.expose` is on.
	Allow []string `yaml:"allow"`
	// Paths that it may not, whatever `allow` says.
	Deny []string `yaml:"deny"`
}

// Event is one target of relayed events and messages; see [relay.TargetOptions].
type Event struct {
	// Where events and messages are delivered: `http://…`, `https://…`, or `unix:///run/app.sock:/path`. See
	// [events.md](events.md) and [messages.md](messages.md).
	URL string `yaml:"url"`
	// Which authorization events; empty for all. An entry that names only `msg_types` or `events` gets none.
	InfoTypes []string `yaml:"info_types"`
	// Which messages, by MsgType; empty for all. An entry that names only `info_types` gets none.
	MsgTypes []string `yaml:"msg_types"`
	// Which of the messages that are events, by Event (`subscribe`, `CLICK`, …); empty for all. Without
	// `msg_types` the entry gets no other messages.
	Events []string `yaml:"events"`
	// Of which accounts; empty for all.
	AppIDs []string `yaml:"appids"`
	// Through which components, each one of `components[].appid`; empty for all, and for own accounts.
	Components []string `yaml:"components"`
	// `xml`, as WeChat wrote it, or `json`.
	Format string `yaml:"format"`
	// Signs what is delivered; empty for no signature. After `whsec_` base64, otherwise the key itself.
	Secret     secret.Text `yaml:"secret"`
	SecretFile string      `yaml:"secret_file"`
}

// Admin is about the admin listener.
type Admin struct {
	// The SHA-256 of the operators' key, 64 hexadecimal digits; empty lets in whoever reaches the listener by a
	// loopback name.
	KeySHA256 string `yaml:"key_sha256"`
	// Go's profiles under `/debug/pprof/` on the admin listener.
	Pprof bool `yaml:"pprof"`
}

// Shutdown is about the way from SIGTERM to the end.
type Shutdown struct {
	// How long calls are still taken after `/readyz` has turned to 503.
	Delay time.Duration `yaml:"delay"`
	// How long, after that, calls under way may take to end.
	Grace time.Duration `yaml:"grace"`
}

// Log is about the log on stderr.
type Log struct {
	// `debug`, `info`, `warn` or `error`.
	Level string `yaml:"level"`
	// `text`, `json`, or `auto`: text on a terminal, else JSON. The log goes to stderr.
	Format string `yaml:"format"`
	// Each call of an app is a line in the log (`"msg":"call"`, level info): whose, from where, status, errcode,
	// how long. The admin API switches it at run time.
	Access bool `yaml:"access"`
}

// Tracing is about W3C traces, which pass from apps to WeChat.
type Tracing struct {
	// A call without a valid `traceparent` gets one of its own; see
	// [operations.md](operations.md#logs-and-traces).
	Make bool `yaml:"make"`
}
