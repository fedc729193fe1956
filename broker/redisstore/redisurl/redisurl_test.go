package redisurl_test

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// plain is a target of which cmp sees every secret.
type plain struct {
	redisurl.Target
	Password, SentinelPassword string
}

func plainly(t redisurl.Target) plain {
	p := plain{Target: t, Password: t.Password.Reveal(), SentinelPassword: t.SentinelPassword.Reveal()}
	p.Target.Password, p.Target.SentinelPassword = secret.Text{}, secret.Text{}
	return p
}

func TestParse(t *testing.T) {
	f := func(text string, want redisurl.Target) {
		t.Helper()
		got, err := redisurl.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		if want.Prefix == "" {
			want.Prefix = "wxsidecar"
		}
		if diff := cmp.Diff(plainly(want), plainly(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	pw := secret.New("p:w/@ %")
	f("redis://localhost", redisurl.Target{Addrs: []string{"localhost:6379"}})
	f("redis://localhost/", redisurl.Target{Addrs: []string{"localhost:6379"}})
	f("redis://10.0.0.7:6400/3", redisurl.Target{Addrs: []string{"10.0.0.7:6400"}, DB: 3})
	f("redis://[::1]/1", redisurl.Target{Addrs: []string{"[::1]:6379"}, DB: 1})
	f("redis://[2001:db8::7]:6400", redisurl.Target{Addrs: []string{"[2001:db8::7]:6400"}})
	f("redis://:p%3Aw%2F%40%20%25@h", redisurl.Target{Addrs: []string{"h:6379"}, Password: pw})
	f("redis://w%78:p:w%2F@%20%25@h", redisurl.Target{Addrs: []string{"h:6379"}, User: "wx", Password: pw})
	f("redis://wx:@h", redisurl.Target{Addrs: []string{"h:6379"}, User: "wx"})
	f("redis://wx@h?password_file=/run/secrets/redis", redisurl.Target{Addrs: []string{"h:6379"}, User: "wx", PasswordFile: "/run/secrets/redis"})
	f("redis://h?prefix=wx.test_2:b-c", redisurl.Target{Addrs: []string{"h:6379"}, Prefix: "wx.test_2:b-c"})
	f("rediss://h", redisurl.Target{Addrs: []string{"h:6379"}, TLS: true})
	f("rediss://h/2?ca_file=/a%20b.pem&cert_file=c&key_file=k&server_name=redis.example",
		redisurl.Target{Addrs: []string{"h:6379"}, DB: 2, TLS: true, CAFile: "/a b.pem", CertFile: "c", KeyFile: "k", ServerName: "redis.example"})
	f("redis-sentinel://s1,s2:26380,[::1]/mymaster",
		redisurl.Target{Kind: redisurl.Sentinel, Addrs: []string{"s1:26379", "s2:26380", "[::1]:26379"}, Master: "mymaster"})
	f("redis-sentinel://u:p@s1/my%2Fmaster/4?tls=true&ca_file=ca&sentinel_username=su&sentinel_password=s%26p",
		redisurl.Target{
			Kind: redisurl.Sentinel, Addrs: []string{"s1:26379"}, User: "u", Password: secret.New("p"), Master: "my/master", DB: 4, TLS: true, CAFile: "ca",
			SentinelUser: "su", SentinelPassword: secret.New("s&p"),
		})
	f("redis-cluster://:p@n1,n2:7001/0?tls=false", redisurl.Target{Kind: redisurl.Cluster, Addrs: []string{"n1:6379", "n2:7001"}, Password: secret.New("p")})
	f("redis-cluster://n1?tls=true", redisurl.Target{Kind: redisurl.Cluster, Addrs: []string{"n1:6379"}, TLS: true})
}

// hidden stands for what must be in no error.
const hidden = "Geheim7"

func TestParse_Faults(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := redisurl.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", text, err, want)
			return
		}
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: the password is in the error: %v", text, err)
		}
	}
	f("", "must begin with redis://, rediss://, redis-sentinel:// or redis-cluster://")
	f("bolt:file", "must begin with redis://")
	f(hidden, "must begin with redis://")
	f("redis:"+hidden+"@h", "must begin with redis://")
	f("http://:"+hidden+"@h", "must begin with redis://")
	f("redis://", "host 1: the name is missing")
	f("redis://:"+hidden+"@", "host 1: the name is missing")
	f("redis://u:"+hidden, "host 1: the port must be a number from 1 to 65535 (an IPv6 address stands in brackets; a password ends with @)")
	f("redis://h:0", "host 1: the port must be a number")
	f("redis://h:65536", "host 1: the port must be a number")
	f("redis://h:", "host 1: the port must be a number")
	f("redis://::1", "host 1: a name may have")
	f("redis://[h]", "host 1: what stands in brackets must be an IPv6 address")
	f("redis://[127.0.0.1]", "host 1: what stands in brackets must be an IPv6 address")
	f("redis://h!", "host 1: a name may have letters, digits and . - _ only")
	f("redis-cluster://a,,b", "host 2: the name is missing")
	f("redis://a,b", "names several hosts; write redis-sentinel:// or redis-cluster:// for them")
	f("redis://:"+hidden+"/x@h", "write %2F for /")
	f("redis://:"+hidden+"?x@h", "write %2F for /, %3F for ?")
	f("redis://:x?"+hidden+"@h", "write %2F for /, %3F for ?")
	f("redis://u:12?"+hidden, "unknown parameter; there are: password_file, prefix (in a password write %3F for ?)")
	f("redis://:"+hidden+"#@h", "in a password write %23")
	f("redis://:"+hidden+" @h", "write %20 for a space")
	f("redis://:"+hidden+"\n@h", "control character")
	f("redis://:"+hidden+"%zz@h", "password: a % must be followed by two hexadecimal digits")
	f("redis://:"+hidden+"%00@h", "password: contains a line break or a zero")
	f("redis://u%:"+hidden+"@h", "user name: a % must be followed")
	f("redis://h/x", "the database, after the last /, must be a number such as 0")
	f("redis://h/-1", "the database")
	f("redis://h/1/2", "the database")
	f("redis-cluster://h/1", "a Cluster has database 0 only")
	f("redis-sentinel://h", "lacks the master's name")
	f("redis-sentinel://h/?tls=true", "lacks the master's name")
	f("redis-sentinel://h/m/x", "the database")
	f("redis-sentinel://h/m%", "the master's name: a %")
	f("redis://h?colour=red", "unknown parameter colour; there are: password_file, prefix")
	f("redis-sentinel://h/m?colour=red", "unknown parameter colour; there are: ca_file, cert_file, key_file, password_file, prefix, sentinel_password, sentinel_username, server_name, tls")
	f("redis://h?ca_file=x", "parameter ca_file needs rediss:// in the place of redis://")
	f("redis://h?tls=true", "parameter tls needs rediss://")
	f("redis-cluster://h?ca_file=x", "need tls=true")
	f("redis-cluster://h?tls=yes", "parameter tls must be true or false")
	f("rediss://h?cert_file=x", "cert_file and key_file must be given together")
	f("rediss://h?key_file=x", "cert_file and key_file must be given together")
	f("redis://h?prefix=a&prefix=b", "parameter prefix is given twice")
	f("redis://h?prefix", "parameter prefix is empty")
	f("redis://h?prefix={a}", "prefix must be 1 to 64 of the characters")
	f("redis://h?prefix="+strings.Repeat("a", 65), "prefix must be 1 to 64 of the characters")
	f("redis://h?prefix=%2", "parameter prefix: a % must be followed")
	f("redis://:"+hidden+"@h?password_file=x", "has a password and password_file; give one of them")
	f("redis-sentinel://h/m?sentinel_password="+hidden+"%", "parameter sentinel_password: a %")
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"redis://h": true, "rediss://h": true, "redis-sentinel://h/m": true, "redis-cluster://h": true, "redis://": true,
		"": false, "redis": false, "redis:h": false, "bolt:redis://h": false, "memory:": false, "REDIS://h": false,
	} {
		if redisurl.Is(text) != want {
			t.Errorf("Is(%q) is %t", text, !want)
		}
	}
}

func TestTarget_StringHasNoSecret(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		target, err := redisurl.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if target.String() != want {
			t.Errorf("%s, want %s", target, want)
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if printed := fmt.Sprintf(format, target); strings.Contains(printed, hidden) {
				t.Errorf("%s prints the password: %s", format, printed)
			}
		}
	}
	f("redis://u:"+hidden+"@h/3?prefix=x", "redis://h:6379/3")
	f("rediss://u:"+hidden+"@[::1]", "rediss://[::1]:6379")
	f("redis-sentinel://:"+hidden+"@a,b/m?sentinel_password="+hidden, "redis-sentinel://a:26379,b:26379/m")
	f("redis-cluster://:"+hidden+"@a,b?tls=true", "redis-cluster://a:6379,b:6379")
}

// FuzzParse: whatever the text, Parse gives something that can be dialled, or an error on one
// line.
func FuzzParse(f *testing.F) {
	f.Add("redis://u:p@h:1/2?prefix=x")
	f.Add("redis-sentinel://a,[::1]:3/m/1?tls=true&ca_file=%20")
	f.Add("redis-cluster://a,b")
	f.Fuzz(func(t *testing.T, text string) {
		target, err := redisurl.Parse(text)
		if err != nil {
			if err.Error() == "" || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%q: %q", text, err)
			}
			return
		}
		if len(target.Addrs) == 0 || target.Prefix == "" || strings.ContainsAny(target.Prefix, "{}") || (target.Kind == redisurl.Sentinel) != (target.Master != "") {
			t.Errorf("%q: %+v", text, target)
		}
		for _, addr := range target.Addrs {
			if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
				t.Errorf("%q: address %q", text, addr)
			}
		}
	})
}

// FuzzParse_Password: a password that is encoded comes back; one that is not never shows in an
// error, wherever its characters put it.
func FuzzParse_Password(f *testing.F) {
	f.Add("secret", "h")
	f.Add("a/b?c#d@e:f,g%h[i]", "h:6379/0?prefix=x")
	f.Add("1?x=2", "")
	f.Fuzz(func(t *testing.T, password, tail string) {
		if !strings.ContainsAny(password, "\x00\r\n") {
			target, err := redisurl.Parse("redis://u:" + url.PathEscape(password) + "@h")
			if err != nil || target.Password.Reveal() != password {
				t.Errorf("%q: %q, %v", password, target.Password.Reveal(), err)
			}
		}
		marked := hidden + password + hidden
		for _, text := range []string{"redis://u:" + marked + "@" + tail, "redis://:" + marked + "@" + tail, "redis-cluster://" + marked + "@" + tail, "redis://u:" + marked} {
			if _, err := redisurl.Parse(text); err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
