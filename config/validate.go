package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

var (
	appIDPattern  = regexp.MustCompile(`^wx[0-9a-f]{16}$`)
	aesKeyPattern = regexp.MustCompile(`^[A-Za-z0-9+/]{43}$`)
	sha256Pattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// smallestFile is the least that a configuration needs, shown to those who have none.
const smallestFile = `
    components:
      - appid: wx0123456789abcdef
        secret_file: /run/secrets/component
        push_token: ...
        encoding_aes_key: ...
  or, for an own account,
    accounts:
      - appid: wx0123456789abcdef
        secret_file: /run/secrets/account`

// validate adds a fault for everything that is wrong with the values. What could
// not be decoded at all was reported before, and has its default here.
func (l *Loaded) validate() {
	l.validateListen()
	l.validateAccounts()
	l.validateApps()
	l.validatePush()
	l.validateUpstream()
	l.validateHosts()
	l.validateNumbers()
	l.validateStore()
	l.validateWritable()
	l.validateCallers()
	l.validateEvents()
	l.hash("admin.key_sha256", l.Config.Admin.KeySHA256)
	l.oneOf("log.level", l.Config.Log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", l.Config.Log.Format, "auto", "text", "json")
}

func (l *Loaded) validateAccounts() {
	c := &l.Config
	seen := map[string]string{}
	for i := range c.Components {
		key := indexed("components", i)
		l.newAppID(key, c.Components[i].AppID, seen)
		l.validateComponent(key, &c.Components[i])
	}
	for i := range c.Accounts {
		key := indexed("accounts", i)
		l.newAppID(key, c.Accounts[i].AppID, seen)
		l.validateAccount(key, &c.Accounts[i])
	}
	if len(c.Components)+len(c.Accounts) == 0 && len(l.faults) == 0 {
		l.fault("components", "", "neither a component nor an account is configured", "the smallest file is"+smallestFile)
	}
}

func (l *Loaded) validateComponent(key string, c *Component) {
	l.required(key+".secret", c.Secret)
	if l.Config.Listen.Push != Off {
		l.required(key+".push_token", c.PushToken)
		l.required(key+".encoding_aes_key", c.EncodingAESKey)
	}
	l.appSecret(key+".secret", c.Secret, c.PushToken)
	l.pushToken(key+".push_token", c.PushToken)
	l.pushToken(key+".previous.push_token", c.Previous.PushToken)
	l.aesKey(key+".encoding_aes_key", c.EncodingAESKey)
	l.aesKey(key+".previous.encoding_aes_key", c.Previous.EncodingAESKey)
}

func (l *Loaded) validateAccount(key string, a *Account) {
	l.required(key+".secret", a.Secret)
	if !a.EncodingAESKey.IsZero() {
		l.required(key+".push_token", a.PushToken)
	}
	l.appSecret(key+".secret", a.Secret, a.PushToken)
	l.pushToken(key+".push_token", a.PushToken)
	l.aesKey(key+".encoding_aes_key", a.EncodingAESKey)
}

// newAppID checks the appid of the entry at key, and that no other has it.
func (l *Loaded) newAppID(key, appID string, seen map[string]string) {
	if l.faulty(key) {
		return // not even a mapping
	}
	key += ".appid"
	if appID == "" {
		l.fault(key, "", "missing", "WeChat's console shows it: wx and 16 hexadecimal digits")
		return
	}
	if first, ok := seen[appID]; ok {
		l.fault(key, shownAppID(appID), "the same as "+first, "each appid may stand once")
		return
	}
	seen[appID] = key
	l.appID(key, appID)
}

func (l *Loaded) appID(key, appID string) {
	if strings.HasPrefix(appID, "gh_") {
		l.fault(key, appID, "the 原始ID of an account, not its AppID", "WeChat's console shows the AppID on the page 基本配置: wx and 16 hexadecimal digits")
		return
	}
	if !appIDPattern.MatchString(appID) {
		l.fault(key, shownAppID(appID), "not an appid", "an appid is wx and 16 hexadecimal digits in lower case")
	}
}

// configured checks the appid of a component that another key refers to.
func (l *Loaded) configured(key, appID string) {
	l.appID(key, appID)
	isNamed := func(c Component) bool { return c.AppID == appID }
	if !l.faulty(key) && !slices.ContainsFunc(l.Config.Components, isNamed) {
		l.fault(key, appID, "no configured component has this appid", "compare it with components[].appid, or add the component there")
	}
}

// shownAppID returns an appid for a report, or nothing if it is so long that it may be
// a secret.
func shownAppID(appID string) string {
	if len(appID) > len("wx0123456789abcdef")*3/2 {
		return ""
	}
	return appID
}

// required reports a secret that is missing, unless a fault of its own says why.
func (l *Loaded) required(key string, s secret.Text) {
	entry := key[:strings.LastIndex(key, ".")]
	if s.IsZero() && !l.faulty(entry) && !l.faulty(key) && !l.faulty(key+"_file") {
		variable := variableOfPath(key)
		if strings.HasPrefix(l.place(entry+".appid").name, envComponent) { // the short form is in use
			variable = shortVariable(variable)
		}
		l.fault(key, "", "missing", fmt.Sprintf("give %s, %s_file, or the variable %s", key, key, variable))
	}
}

func (l *Loaded) faulty(key string) bool {
	return slices.ContainsFunc(l.faults, func(f fault) bool { return f.key == key })
}

func (l *Loaded) aesKey(key string, s secret.Text) {
	if s.IsZero() || aesKeyPattern.MatchString(s.Reveal()) || !l.credential(key, s) {
		return
	}
	if n := len(s.Reveal()); n != 43 {
		l.fault(key, "", fmt.Sprintf("has %d characters, not 43", n), "copy 消息加解密Key from WeChat's console")
		return
	}
	l.fault(key, "", "has characters other than letters and digits", "copy 消息加解密Key from WeChat's console")
}

func (l *Loaded) validateApps() {
	apps := &l.Config.Apps
	if apps.DefaultAppID != "" {
		l.appID("apps.default_appid", apps.DefaultAppID)
	}
	if apps.DefaultComponent != "" {
		l.configured("apps.default_component", apps.DefaultComponent)
	}
	if _, err := ParseSocketMode(apps.SocketMode); err != nil {
		l.fault("apps.socket_mode", apps.SocketMode, err.Error(), `write it like "0660"`)
	}
	l.oneOf("apps.errors", apps.Errors, "http", "200")
}

func (l *Loaded) validateNumbers() {
	c := &l.Config
	l.atLeast("limits.max_inflight", c.Limits.MaxInflight, 1)
	l.atLeast("limits.max_inflight_per_account", c.Limits.MaxInflightPerAccount, 1)
	l.atLeast("limits.replay_memory", c.Limits.ReplayMemory, 1)
	l.atLeast("limits.outbox", c.Limits.Outbox, 1)
	if l.given("limits.replay_body") {
		l.atLeast("limits.replay_body", c.Limits.ReplayBody, 1)
	}
	if c.Limits.ReplayMemory < c.Limits.ReplayBody {
		l.fault("limits.replay_memory", strconv.FormatInt(int64(c.Limits.ReplayMemory), 10), "less than limits.replay_body",
			"it must hold at least one body")
	} else if c.Limits.ReplayBody > 64<<10 && c.Limits.ReplayMemory/4*3 < c.Limits.ReplayBody {
		l.warn("limits.replay_memory", "bodies of more than 64 KiB take at most three quarters of it, so those of limits.replay_body are never kept; "+
			"make it larger than that by a third")
	}
	// Later than three quarters there would not be half an hour left of two in
	// which WeChat may be away unnoticed.
	if at := c.Renewal.At; at <= 0 || at > 0.75 {
		l.fault("renewal.at", fmt.Sprint(at), "not a share of a token's life above 0 and up to 0.75", defaultHint)
	}
	if c.Renewal.Rate <= 0 {
		l.fault("renewal.rate", fmt.Sprint(c.Renewal.Rate), "not above 0", defaultHint)
	}
	l.atLeast("renewal.workers", c.Renewal.Workers, 1)
	l.atLeast("shutdown.delay", c.Shutdown.Delay, 0)
	l.atLeast("shutdown.grace", c.Shutdown.Grace, 0)
}

// atLeast works for whole numbers, sizes and durations: what fmt writes of the value is
// what the report shows.
func (l *Loaded) atLeast(key string, value, least any) {
	below := false
	switch v := value.(type) {
	case int:
		below = v < least.(int)
	case time.Duration:
		below = v < time.Duration(least.(int))
	case Size:
		below = v < Size(least.(int))
	}
	if below && least == 0 {
		l.fault(key, fmt.Sprint(value), "below 0", defaultHint)
	} else if below {
		l.fault(key, fmt.Sprint(value), "not above 0", defaultHint)
	}
}

func (l *Loaded) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		l.fault(key, value, "must be one of: "+strings.Join(allowed, ", "), defaultHint)
	}
}

// hash checks the SHA-256 of a key, and does not show it: it may be the key.
func (l *Loaded) hash(key, value string) {
	if value != "" && !sha256Pattern.MatchString(value) {
		l.fault(key, "", "not 64 hexadecimal digits", howToHash)
	}
}

func indexed(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
