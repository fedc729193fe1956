// Package redisurl reads the URL of a Redis store, and says what is wrong with one.
//
//	redis://[user[:password]@]host[:6379][/db]
//	rediss://…                                   the same over TLS
//	redis-sentinel://[user[:password]@]host[:26379][,host…]/master[/db]
//	redis-cluster://[user[:password]@]host[:6379][,host…]
//
// User, password and the master's name are percent-decoded; an IPv6 address stands in brackets.
// Parameters, after a question mark:
//
//	prefix                 what all keys begin with: wxsidecar
//	password_file          where the password is, instead of in the URL
//	tls                    true: TLS, to Sentinel or Cluster
//	ca_file                whom to trust, instead of the system's authorities
//	cert_file, key_file    the client's certificate
//	server_name            the name in the server's certificate, if it is not the host
//	sentinel_username, sentinel_password    of the Sentinels themselves
//
// Parse is pure: it opens no file. No error of this package repeats a part of the URL that might
// be a password, even of one whose parts are not where they belong.
//
// The package makes no API promise outside this module.
package redisurl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// DefaultPrefix is what the keys of a store begin with that names no other prefix.
const DefaultPrefix = "wxsidecar"

// Kind is how the servers work together.
type Kind uint8

const (
	// Single is one server.
	Single Kind = iota
	// Sentinel is a primary that Sentinels watch and replace.
	Sentinel
	// Cluster is a Redis Cluster.
	Cluster
)

// Target is a store as its URL names it.
type Target struct {
	Kind Kind
	// Addrs are of the form host:port, at least one. With Sentinel they are the Sentinels'.
	Addrs []string
	// Master is the name under which the Sentinels know the primary; "" without them.
	Master string
	DB     int
	// User is "" for Redis's default user.
	User     string
	Password secret.Text
	// PasswordFile is the file that has the password, if the URL has none.
	PasswordFile      string
	SentinelUser      string
	SentinelPassword  secret.Text
	TLS               bool
	CAFile            string // "" for the system's authorities
	CertFile, KeyFile string // both or neither
	ServerName        string // "" for the host that is dialled
	Prefix            string
}

// scheme is a kind of URL: its default port and the parameters that it has beside those of all.
type scheme struct {
	kind   Kind
	port   string
	tls    bool
	params []string
}

var (
	tlsParams = []string{"ca_file", "cert_file", "key_file", "server_name"}
	schemes   = map[string]scheme{
		"redis":          {kind: Single, port: "6379"},
		"rediss":         {kind: Single, port: "6379", tls: true, params: tlsParams},
		"redis-sentinel": {kind: Sentinel, port: "26379", params: append([]string{"tls", "sentinel_username", "sentinel_password"}, tlsParams...)},
		"redis-cluster":  {kind: Cluster, port: "6379", params: append([]string{"tls"}, tlsParams...)},
	}
)

var errForm = errors.New("must begin with redis://, rediss://, redis-sentinel:// or redis-cluster://")

// Is reports whether text is meant as the URL of a Redis store.
func Is(text string) bool {
	name, _, ok := strings.Cut(text, "://")
	_, known := schemes[name]
	return ok && known
}

// Parse reads the URL of a store.
func Parse(text string) (Target, error) {
	name, rest, _ := strings.Cut(text, "://")
	s, ok := schemes[name]
	if !ok || !Is(text) {
		return Target{}, errForm
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return Target{}, errors.New("contains a space or a control character; in a password write %20 for a space")
	}
	if strings.Contains(rest, "#") {
		return Target{}, errors.New("contains a #; in a password write %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if strings.Contains(path, "@") || strings.Contains(query, "@") {
		return Target{}, errors.New("has an @ behind the hosts; in a user name or password write %2F for /, %3F for ? and %40 for @, in a parameter %40 for @")
	}
	t := Target{Kind: s.kind, TLS: s.tls, Prefix: DefaultPrefix}
	if err := t.takeAuthority(authority, s.port); err != nil {
		return Target{}, err
	}
	if err := t.takePath(path); err != nil {
		return Target{}, err
	}
	if err := t.takeParams(query, s); err != nil {
		return Target{}, err
	}
	return t, t.check()
}

func (t *Target) takeAuthority(authority, port string) error {
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		if err := t.takeUser(authority[:at]); err != nil {
			return err
		}
	}
	for i, host := range strings.Split(hosts, ",") {
		addr, err := address(host, port)
		if err != nil {
			return fmt.Errorf("host %d: %w", i+1, err)
		}
		t.Addrs = append(t.Addrs, addr)
	}
	if t.Kind == Single && len(t.Addrs) > 1 {
		return errors.New("names several hosts; write redis-sentinel:// or redis-cluster:// for them")
	}
	return nil
}

func (t *Target) takeUser(info string) error {
	user, password, _ := strings.Cut(info, ":")
	var err error
	if t.User, err = decode(user); err != nil {
		return fmt.Errorf("user name: %w", err)
	}
	if password, err = decode(password); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	t.Password = secret.New(password)
	return nil
}

func (t *Target) takePath(path string) error {
	db := path
	switch t.Kind {
	case Sentinel:
		var master string
		var err error
		master, db, _ = strings.Cut(path, "/")
		if t.Master, err = decode(master); err != nil {
			return fmt.Errorf("the master's name: %w", err)
		}
		if t.Master == "" {
			return errors.New("lacks the master's name: redis-sentinel://host,host/NAME, as in the Sentinels' line \"sentinel monitor NAME …\"")
		}
	case Cluster:
		if db != "" && db != "0" {
			return errors.New("names a database; a Cluster has database 0 only")
		}
	case Single:
	}
	if db == "" {
		return nil
	}
	n, err := strconv.ParseUint(db, 10, 16)
	if err != nil {
		return errors.New("the database, after the last /, must be a number such as 0")
	}
	t.DB = int(n)
	return nil
}

// check is for what concerns several parts at once.
func (t *Target) check() error {
	switch {
	case !t.Password.IsZero() && t.PasswordFile != "":
		return errors.New("has a password and password_file; give one of them")
	case (t.CertFile == "") != (t.KeyFile == ""):
		return errors.New("cert_file and key_file must be given together")
	case !t.TLS && (t.CAFile != "" || t.CertFile != "" || t.ServerName != ""):
		return errors.New("ca_file, cert_file, key_file and server_name need tls=true")
	case !validPrefix(t.Prefix):
		return errors.New("prefix must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -")
	}
	return nil
}

func validPrefix(prefix string) bool {
	return prefix != "" && len(prefix) <= 64 && strings.Trim(prefix, letters+":") == ""
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// String returns the URL without user, passwords and parameters, for logs and errors.
func (t Target) String() string {
	name := map[Kind]string{Single: "redis", Sentinel: "redis-sentinel", Cluster: "redis-cluster"}[t.Kind]
	if t.TLS && t.Kind == Single {
		name = "rediss"
	}
	text := name + "://" + strings.Join(t.Addrs, ",")
	if t.Master != "" {
		text += "/" + t.Master
	}
	if t.DB != 0 {
		text += "/" + strconv.Itoa(t.DB)
	}
	return text
}

func paramsOf(s scheme) []string {
	known := append([]string{"prefix", "password_file"}, s.params...)
	slices.Sort(known)
	return known
}
