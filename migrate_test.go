package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// records returns what a store has, but for the CA and for fences, which a file does not keep.
func records(t *testing.T, s store.Store) map[string]store.Record {
	t.Helper()
	list, err := s.List(t.Context(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]store.Record{}
	for _, n := range list {
		if n.Name != caRecord {
			all[n.Name] = store.Record{Generation: n.Generation, Sealed: n.Sealed}
		}
	}
	return all
}

func (w *redisWorld) redisRecords() map[string]store.Record {
	w.t.Helper()
	s, err := redisstore.Open(w.t.Context(), redisstore.Options{URL: secret.New(w.redis.URL())})
	if err != nil {
		w.t.Fatal(err)
	}
	all := records(w.t, s)
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *redisWorld) boltRecords(path string) map[string]store.Record {
	w.t.Helper()
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(w.dir, path)})
	if err != nil {
		w.t.Fatal(err)
	}
	all := records(w.t, s)
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *redisWorld) wantSame(what string, want, got map[string]store.Record) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		w.t.Errorf("%s: %d records (-want +got):\n%s", what, len(want), diff)
	}
}

// migrates runs the verb, wants its exit code and a text for each pattern, and returns what it
// printed.
func (w *redisWorld) migrates(code int, args string, patterns ...string) {
	w.t.Helper()
	out, errs, got := w.run(append([]string{"migrate"}, strings.Fields(args)...)...)
	if got != code {
		w.t.Errorf("migrate %s: exit code %d, want %d:\n%s%s", args, got, code, out, errs)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out + errs) {
			w.t.Errorf("migrate %s: it does not say %q:\n%s%s", args, p, out, errs)
		}
	}
}

// servesOld starts serve, and wants it to serve the tokens and the CA that were there before.
func (w *redisWorld) servesOld(config, ca string, tokenCalls int) {
	w.t.Helper()
	r := w.start(config)
	r.serves(scriptAuthorizer)
	r.serves(scriptAccount)
	if _, pem := r.get("metrics", "/ca.pem"); pem != ca {
		w.t.Errorf("%s: another CA", config)
	}
	if err := w.sim.PushTicket(w.t.Context(), scriptComponent); err != nil { // it changes the store
		w.t.Error(err)
	}
	if code := r.stop(syscall.SIGTERM); code != 0 {
		w.t.Errorf("%s: exit code %d", config, code)
	}
	if n := w.tokenCalls(); n != tokenCalls {
		w.t.Errorf("%s: %d token calls, want %d", config, n, tokenCalls)
	}
}

// From a file to Redis and back: every record and the CA go along, and no token is asked for anew.
func TestMigrate_ThereAndBack(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("bolt.yaml", "store: bolt:data/wx.db", "seal: {key_file: key}")
	w.configure("redis.yaml", redisLines...)
	w.configure("back.yaml", "store: bolt:back/wx.db", "seal: {key_file: key}")
	r := w.start("bolt.yaml")
	if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
		t.Fatal(err)
	}
	r.serves(scriptAuthorizer)
	r.serves(scriptAccount)
	_, ca := r.get("metrics", "/ca.pem")
	tokens := w.tokenCalls()

	const there = "--config bolt.yaml --from bolt:data/wx.db --to-file redis.url"
	w.migrates(1, there, "another wxsidecar uses it", "stop it first")
	r.stop(syscall.SIGTERM)
	w.migrates(0, there+" --dry-run", "dry run, nothing was written", `copied: [1-9]\d*, replaced: 0, removed: 0, there already: 0`, "CA: copied")
	if n := len(w.redisRecords()); n != 0 {
		t.Fatalf("a dry run wrote %d records", n)
	}
	w.migrates(0, there, `from bolt:/.*/data/wx.db to redis://`+w.redis.Addr()+"\n", `\ncopied: [1-9]\d*, replaced: 0, removed: 0, there already: 0, damaged and left behind: 0\nCA: copied\n`,
		`\nchecked: the target has \d+ records, those of the source, and each opens\nnext: .*seal.key_file to the same key on every replica`)
	w.migrates(0, there, `\ncopied: 0, replaced: 0, removed: 0, there already: [1-9]\d*, .*\nCA: there already\n`)
	w.wantSame("Redis", w.boltRecords("data/wx.db"), w.redisRecords())
	w.servesOld("redis.yaml", ca, tokens)

	const back = "--config redis.yaml --from-file redis.url --to bolt:back/wx.db"
	w.migrates(0, back+" --dry-run", "dry run, nothing was written", "CA: copied")
	if found, err := filepath.Glob(filepath.Join(w.dir, "back", "*")); err != nil || len(found) > 0 {
		t.Errorf("a dry run made %v, %v", found, err)
	}
	w.migrates(0, back, `copied: [1-9]\d*`, "CA: copied", "next: .*start one sidecar; start none on the source")
	want := w.redisRecords()
	w.wantSame("the file", want, w.boltRecords("back/wx.db"))
	w.servesOld("back.yaml", ca, tokens)

	// The first file is old now, and must not replace what came later by itself.
	w.migrates(1, "--config bolt.yaml --from bolt:data/wx.db --to-file redis.url", "the target has records of its own: .* later ones", "hint: .*--replace")
	w.wantSame("Redis", want, w.redisRecords())
	w.migrates(0, "--config back.yaml --from bolt:back/wx.db --to-file redis.url --replace", `replaced: [1-9]`)
	w.wantSame("Redis", w.boltRecords("back/wx.db"), w.redisRecords())
	w.servesOld("redis.yaml", ca, tokens)
}

// Another CA at the target is what apps may trust: it goes only where that is said.
func TestMigrate_AnotherCA(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("bolt.yaml", "store: bolt:data/wx.db", "seal: {key_file: key}")
	w.configure("redis.yaml", redisLines...)
	authority := func(config string) string {
		t.Helper()
		r := w.start(config)
		_, pem := r.get("metrics", "/ca.pem")
		r.stop(syscall.SIGTERM)
		return pem
	}
	inFile, inRedis := authority("bolt.yaml"), authority("redis.yaml")
	const verb = "--config bolt.yaml --from bolt:data/wx.db --to-file redis.url"
	w.migrates(1, verb, "the target has another CA than the source", "--replace")
	if got := authority("redis.yaml"); got != inRedis || inRedis == inFile {
		t.Error("the CA was replaced")
	}
	w.migrates(0, verb+" --replace", "CA: copied")
	if got := authority("redis.yaml"); got != inFile {
		t.Error("the CA was not replaced")
	}
}

func TestMigrate_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("c.yaml", redisLines...)
	w.write("bad.url", "redis://:"+redisSecret+"@h/x")
	const redis = " --to-file redis.url"
	w.migrates(2, "--config c.yaml", "--from is missing: give bolt:PATH or a Redis URL, or --from-file")
	w.migrates(2, "--config c.yaml --from bolt:x", "--to is missing")
	w.migrates(2, "--config c.yaml --from bolt:x --from-file redis.url"+redis, "--from and --from-file are both given")
	w.migrates(2, "--config c.yaml --from memory:"+redis, "--from: not a store that can be copied")
	w.migrates(2, "--config c.yaml --from bolt:"+redis, "--from: not a store that can be copied")
	w.migrates(2, "--config c.yaml --from bolt:x --to-file bad.url", "--to-file: the database, after the last /, must be a number", "hint: write it like redis://")
	w.migrates(2, "--config c.yaml --from-file absent"+redis, "--from-file: open absent: no such file")
	w.migrates(2, "--config c.yaml --from-file redis.url"+redis, "are the same store")
	w.migrates(2, "--config c.yaml --from bolt:a/x --to bolt:b/../a/x", "are the same store")
	w.migrates(2, "--from bolt:x"+redis, "there is no key: seal.key_file is not set, and .*/wxsidecar.key does not exist", "hint: ")
	w.migrates(2, "--config absent.yaml --from bolt:x"+redis, "the configuration file cannot be read")
	w.migrates(1, "--config c.yaml --from bolt:x"+redis, "the source: there is no file bolt:/.*/x", "hint: compare the path")
	w.migrates(1, "--config c.yaml --from-file redis.url --to bolt:x", "the source has no records", "hint: compare the address")
	w.redis.Kill()
	w.migrates(1, "--config c.yaml --from-file redis.url --to bolt:x", "the source: open the store: redis://.*cannot connect")
}
