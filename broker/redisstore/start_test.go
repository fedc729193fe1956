package redisstore_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// password is in no error.
const password = "Geheim7%40/x"

const passwordInURL = "Geheim7%2540%2Fx"

// refuses opens a store that cannot be, and returns why.
func refuses(t *testing.T, url string, want ...string) string {
	t.Helper()
	s, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(url)})
	if err == nil {
		t.Errorf("it was opened; want an error of %q", want)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return ""
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q\nwant …%s…", err, text)
		}
	}
	if strings.Contains(err.Error(), "Geheim") || strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("the password is in the error, or it has several lines: %q", err)
	}
	return err.Error()
}

// nowhere is an address at which nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func TestOpen_NotReachable(t *testing.T) {
	addr := nowhere(t)
	user := "u:" + passwordInURL + "@"
	refuses(t, "redis://"+user+addr, "redis://"+addr+": cannot connect; is Redis running, and the address right?", "connection refused")
	refuses(t, "redis-sentinel://"+user+addr+"/m", "redis-sentinel://"+addr+"/m: cannot connect")
	refuses(t, "redis-cluster://"+user+addr, "redis-cluster://"+addr+": cannot connect")
	refuses(t, "redis://:"+passwordInURL+"@h!", "the URL of the store: host 1: a name may have")
	refuses(t, "redis://"+addr+"?password_file=/nowhere/password", "password_file: open /nowhere/password: no such file")
	refuses(t, "rediss://"+addr+"?ca_file=/nowhere/ca", "ca_file: open /nowhere/ca: no such file")
	refuses(t, "rediss://"+addr+"?cert_file=/nowhere/cert&key_file=/nowhere/key", "cert_file, key_file: open /nowhere/cert")
}

func TestOpen_Cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := redisstore.Open(ctx, redisstore.Options{URL: secret.New("redis://" + nowhere(t))}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("Open: %v", err)
	}
}

func TestOpen_Passwords(t *testing.T) {
	server := redistest.Start(t, redistest.Options{Password: password})
	addr := server.Addr()
	refuses(t, "redis://"+addr, "Redis wants a password: put it into the URL, or name its file with password_file: NOAUTH")
	refuses(t, "redis://:Geheim8@"+addr, "Redis refuses the user or the password of the URL; compare both with its ACL (ACL LIST), and write what is special in them as escapes, %40 for @: WRONGPASS")
	refuses(t, "redis://nobody:"+passwordInURL+"@"+addr, "Redis refuses the user or the password of the URL; compare both with its ACL (ACL LIST), and write what is special in them as escapes, %40 for @: WRONGPASS")
	open(t, "redis://:"+passwordInURL+"@"+addr)
	open(t, server.URL())
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, "redis://"+addr+"?password_file="+file)
}

var rightsInError = regexp.MustCompile(`give it all of: (~\S+( \+[\w|]+)+)`)

// The rules that an error tells to give suffice, and each missing one is told.
func TestOpen_Rights(t *testing.T) {
	user := func(rules ...string) *redistest.Server {
		return redistest.Start(t, redistest.Options{User: "wx", Password: password, ACL: rules})
	}
	why := refuses(t, user("~*", "+ping").URL(), "the user lacks a right", "client|tracking")
	found := rightsInError.FindStringSubmatch(why)
	if found == nil {
		t.Fatalf("%q does not tell the rights", why)
	}
	rules := strings.Fields(found[1])

	server := user(rules...)
	s := open(t, server.URL())
	if err := s.Put(t.Context(), store.Write{Name: "k", Record: store.Record{Generation: 1, Sealed: []byte("one")}}); err != nil {
		t.Error(err)
	}
	if lease, err := s.Lock(t.Context(), "k", store.LeaseOptions{For: 1e9}); err != nil {
		t.Error(err)
	} else {
		lease.Unlock()
	}
	if denied := server.MustDo("ACL", "LOG"); len(denied.([]any)) != 0 {
		t.Errorf("Redis denied %v", denied)
	}

	for _, right := range rules {
		command, isCommand := strings.CutPrefix(right, "+")
		if command == "client|tracking" || command == "info" || command == "ping" {
			continue // told above; a warning; of no consequence
		}
		server.MustDo("ACL", "SETUSER", "wx", "resetkeys", "~{wxsidecar}:*")
		server.MustDo(append([]string{"ACL", "SETUSER", "wx", "-@all"}, rules[1:]...)...)
		if isCommand {
			server.MustDo("ACL", "SETUSER", "wx", "-"+command)
			if command == "time" { // which has no key, and so is tried in a script
				command = "eval"
			}
			refuses(t, server.URL(), "the user may not "+strings.ToUpper(command)+" the keys {wxsidecar}:*; give it all of: "+found[1])
		} else {
			server.MustDo("ACL", "SETUSER", "wx", "resetkeys", "~other*")
			refuses(t, server.URL(), "the user may not SET the keys {wxsidecar}:*; give it all of: "+found[1])
		}
	}
}

func TestOpen_WrongSort(t *testing.T) {
	t.Parallel()
	single := redistest.Start(t, redistest.Options{})
	refuses(t, "redis-cluster://"+single.Addr(), "the server is not in cluster mode; write redis:// in the place of redis-cluster://")
	refuses(t, "redis-cluster://"+single.Addr()+","+nowhere(t), "the server is not in cluster mode; write redis:// in the place of redis-cluster://")
	refuses(t, "redis-sentinel://"+single.Addr()+"/m", "this is no Sentinel (their port is 26379 mostly); for a server write redis://")
	refuses(t, "rediss://"+single.Addr(), "rediss://"+single.Addr()+": cannot connect")

	replica := redistest.Start(t, redistest.Options{Config: []string{"replicaof " + strings.ReplaceAll(single.Addr(), ":", " ")}})
	refuses(t, replica.URL(), "this server is a read-only replica: name the primary, or let Sentinels find it (redis-sentinel://)")

	node := redistest.Start(t, redistest.Options{Config: []string{"cluster-enabled yes"}})
	refuses(t, "redis://"+node.Addr(), "the server is in cluster mode; write redis-cluster:// in the place of redis://")
	refuses(t, "redis-cluster://"+node.Addr(), "the Cluster does not serve the slot of these keys")
}

func TestOpen_Sentinels(t *testing.T) {
	sentinels := redistest.StartSentinel(t, redistest.Options{})
	one := sentinels.Sentinels[0].Addr()
	refuses(t, "redis-sentinel://"+one+"/nobody", `the Sentinels know no primary of the name "nobody"`)
	refuses(t, "redis://"+one, "this is a Sentinel; write redis-sentinel://host/MASTER")
	open(t, "redis-sentinel://"+nowhere(t)+","+one+"/"+redistest.MasterName)
}

func TestOpen_TLS(t *testing.T) {
	server := redistest.Start(t, redistest.Options{TLS: true, ClientCert: true, Password: password})
	s := open(t, server.URL())
	if _, err := s.List(t.Context(), "", "", 1); err != nil {
		t.Error(err)
	}
	refuses(t, "rediss://:"+passwordInURL+"@"+server.Addr(), "cannot connect", "certificate")
	refuses(t, "redis://:"+passwordInURL+"@"+server.Addr(), "no Redis answers there, or one that wants TLS: compare the port, or write rediss://")
	plain := redistest.Start(t, redistest.Options{})
	refuses(t, "rediss://"+plain.Addr(), "cannot connect; is Redis running, the address right, and TLS on at that port?")
	refuses(t, server.URL()+"&server_name=elsewhere", "cannot connect", "elsewhere")
	file := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, "rediss://"+server.Addr()+"?ca_file="+file, "has no certificate in PEM")
}

// What a Redis that evicts may cost is said, and that it cannot be seen; a good one is passed in
// silence.
func TestOpen_Eviction(t *testing.T) {
	logs := func(o redistest.Options) string {
		t.Helper()
		var log bytes.Buffer
		s, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(redistest.Start(t, o).URL()), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	evicts := "set maxmemory-policy noeviction"
	if log := logs(redistest.Options{Config: []string{"maxmemory 100mb", "maxmemory-policy allkeys-lru"}}); !strings.Contains(log, evicts) || !strings.Contains(log, "level=WARN") {
		t.Errorf("logged: %s", log)
	}
	for _, config := range [][]string{nil, {"maxmemory-policy allkeys-lru"}, {"maxmemory 100mb"}} {
		if log := logs(redistest.Options{Config: config}); log != "" {
			t.Errorf("%v: logged: %s", config, log)
		}
	}
	if log := logs(redistest.Options{User: "wx", Password: password, ACL: []string{"~*", "+@all", "-info"}}); !strings.Contains(log, "cannot see whether Redis evicts") || strings.Contains(log, "Geheim") {
		t.Errorf("logged: %s", log)
	}
}
