package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// From each source: a dry run touches nothing, and after the import the first call of each merchant
// works without anything that only WeChat knows.
func TestImport_FromEachSource(t *testing.T) {
	t.Parallel()
	for _, source := range importSources {
		t.Run(source.name, func(t *testing.T) {
			t.Parallel()
			w := newImportWorld(t)
			moves := source.make(w)
			w.deny()
			for i, args := range moves {
				row := "refresh_token +wxa000000000000002 +" + scriptComponent + " +new "
				if i < len(moves)-1 || len(moves) == 1 {
					row = "ticket +- +" + scriptComponent + " +new +" + source.age
				}
				w.imports(0, args+" --config c.yaml", row, "(?m)^dry run, nothing was written; with --write it would be: new: [134]")
			}
			if found, err := filepath.Glob(w.path("data/*")); err != nil || len(found) > 0 {
				t.Errorf("a dry run made %v, %v", found, err)
			}
			for _, args := range moves {
				w.imports(0, args+" --config c.yaml --write", "(?m)^done: new: [134]")
				w.imports(0, args+" --config c.yaml --write", "(?m)^done: held: [134]")
			}
			w.calls(0)
			w.servesAtOnce(w.start("c.yaml"), importMerchants...)
		})
	}
}

// Replicas that run take over what comes, and need no restart.
func TestImport_WhileReplicasRun(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	w.deny()
	w.configure("redis.yaml", redisLines...)
	one, two := w.start("redis.yaml"), w.start("redis.yaml")
	w.write("all.csv", "ticket\n"+w.sim.NewTicket(scriptComponent)+"\n")
	w.writeCSV("merchants.csv")
	w.imports(0, "csv merchants.csv --config redis.yaml --write", "done: new: 3")
	w.imports(0, "csv all.csv --config redis.yaml --write", "done: new: 1")
	one.serves(importMerchants[0])
	two.serves(importMerchants[0])
	two.serves(importMerchants[1])
	one.serves(importMerchants[2])
	for _, appID := range importMerchants {
		if n := w.sim.CallsFor("/cgi-bin/component/api_authorizer_token", appID); n != 1 {
			t.Errorf("%s was renewed %d times", appID, n)
		}
	}
}

// What WeChat gave a sidecar beats an old export, and is not written twice; a bolt store that serve
// holds is refused.
func TestImport_KeepsWhatWeChatGave(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	w.writeCSV("old.csv")
	for _, appID := range importMerchants {
		w.sim.RotateRefreshToken(scriptComponent, appID)
	}
	r := w.start("c.yaml")
	if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
		t.Fatal(err)
	}
	for _, appID := range importMerchants {
		r.serves(appID)
	}
	w.imports(1, "csv old.csv --config c.yaml --write", "another wxsidecar uses it", "hint: stop serve first")
	r.stop(syscall.SIGTERM)
	calls := w.sim.Calls("")
	w.imports(0, "csv old.csv --config c.yaml", "dry run, nothing was written; with --write it would be: kept: 3", "the store has another one from WeChat itself")
	w.imports(0, "csv old.csv --config c.yaml --write", "done: kept: 3")
	w.imports(0, "csv old.csv --config c.yaml --write", "done: held: 3")
	w.calls(calls)
	w.deny()
	w.sim.ExpireAllTokens()
	r = w.start("c.yaml")
	if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
		t.Fatal(err)
	}
	for _, appID := range importMerchants {
		r.serves(appID)
	}
	if n := w.sim.Answered(61023); n > 0 {
		t.Errorf("an old refresh token was used %d times", n)
	}
}

// WeChat is asked by the old system's own token, and reads: nothing that the old system uses is
// displaced. What is stale and who is gone is named.
func TestImport_Check(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	const infoOnly, gone, missing = "wxa000000000000004", "wxa000000000000005", "wxa000000000000006"
	for _, appID := range []string{infoOnly, gone, missing} {
		w.sim.AddAuthorizer(scriptComponent, appID)
	}
	for _, appID := range append([]string{infoOnly, gone}, importMerchants...) {
		w.redis.MustDo("SET", "wechat_authorizer_refresh_token:"+scriptComponent+":"+appID, w.sim.RefreshToken(scriptComponent, appID))
	}
	w.redis.MustDo("SET", "wechat_component_verify_ticket:"+scriptComponent, w.sim.NewTicket(scriptComponent))
	stale := importMerchants[1]
	w.sim.RotateRefreshToken(scriptComponent, stale)
	w.sim.Unlist(scriptComponent, infoOnly, true)
	w.sim.Revoke(scriptComponent, gone)

	const verb = "wxjava --source-file redis.url --config c.yaml --check"
	w.imports(1, verb+" --write", "neither the source nor the store has a component_access_token that lives", "hint: .*--fetch-token", "nothing was written")
	w.calls(0)
	token := w.componentToken()
	w.redis.MustDo("SET", "wechat_component_access_token:"+scriptComponent, token, "EX", "7000")
	w.sim.Forget()
	say := []string{
		"refresh_token +" + stale + " +" + scriptComponent + " +stale .*WeChat shows another one, which is taken instead",
		"refresh_token +" + gone + " +" + scriptComponent + " +unlisted .*61003",
		"new: 4, stale: 1, unlisted: 1\n", "WeChat lists 1 merchants more",
	}
	w.imports(0, verb, append(say, "dry run, nothing was written", "before --write, stop what renews in the old system")...)
	if list, info, all := w.sim.Calls("/cgi-bin/component/api_get_authorizer_list"), w.sim.Calls("/cgi-bin/component/api_get_authorizer_info"), w.sim.Calls(""); list != 1 || info != 2 || all != 3 {
		t.Errorf("%d calls of the list, %d of the info, %d in all", list, info, all)
	}
	if w.sim.CurrentToken(scriptComponent) != token {
		t.Error("the old system's token was displaced")
	}
	var report struct {
		DryRun  bool           `json:"dry_run"`
		Results map[string]int `json:"results"`
		Entries []struct{ Kind, AppID, Result string }
		Missing int `json:"not_in_source"`
	}
	if err := json.Unmarshal([]byte(w.imports(0, verb+" -o json")), &report); err != nil || !report.DryRun || report.Results["stale"] != 1 || len(report.Entries) != 6 || report.Missing != 1 {
		t.Errorf("%v: %+v", err, report)
	}
	w.sim.Fault("/cgi-bin/component/api_get_authorizer_info", wechattest.Fault{Errcode: 40013, AppID: gone, Times: 1})
	w.imports(0, verb, "refresh_token +"+gone+" +"+scriptComponent+" +unlisted .*does not know the appid \\(40013\\)", "new: 4, stale: 1, unlisted: 1\n")
	w.sim.Fault("/cgi-bin/component/api_get_authorizer_info", wechattest.Fault{Errcode: 45009, AppID: gone, Times: 1})
	w.imports(1, verb, "merchant "+gone+": .*45009", "nothing was written")
	w.imports(0, verb+" --write", append(say, "(?m)^done: ")...)
	w.deny()
	w.sim.Forget()
	r := w.start("c.yaml")
	w.servesAtOnce(r, importMerchants...)
	w.servesAtOnce(r, infoOnly)
	if n := w.sim.Answered(61023); n > 0 {
		t.Errorf("a stale refresh token was used %d times", n)
	}
}

// A folder of cache files behind a link, as deployments have it, is read.
func TestImport_FollowsLink(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	w.copyCache("easywechat6", in(-time.Hour))
	if err := os.Symlink("easywechat6", w.path("current")); err != nil {
		t.Fatal(err)
	}
	w.imports(0, "easywechat current --config c.yaml", "would be: new: 1")
}

// Where no token lives one is fetched, if that was allowed.
func TestImport_CheckFetchesToken(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	w.writeCSV("merchants.csv")
	const verb = "csv merchants.csv --config c.yaml --check --fetch-token"
	w.imports(1, verb, "--fetch-token needs a component_verify_ticket")
	w.write("ticket.csv", "ticket\n"+w.sim.NewTicket(scriptComponent)+"\n")
	w.imports(0, "csv ticket.csv --config c.yaml --write", "done: new: 1")
	w.imports(0, verb, "would be: new: 3\n")
	if n := w.sim.Calls("/cgi-bin/component/api_component_token"); n != 1 {
		t.Errorf("%d component tokens", n)
	}
	w.sim.Fault("/cgi-bin/component/api_get_authorizer_list", wechattest.Fault{Errcode: 61004})
	w.imports(1, verb+" --write", "61004", "nothing was written")
	w.imports(0, "csv merchants.csv --config c.yaml", "would be: new: 3\n")
}

func TestImport_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	const c = " --config c.yaml"
	w.imports(2, "", "accepts between 1 and 2 arg")
	w.imports(2, "weixin x"+c, "give one of: wxjava, wechatpy, easywechat, wxcomponent, csv")
	w.imports(2, "csv"+c, "SOURCE is missing: give a CSV file")
	w.imports(2, "csv x --source-file redis.url"+c, "both given")
	w.imports(2, "csv --source-file absent"+c, "--source-file: open absent")
	w.imports(2, "csv x -o xml"+c, "--output xml: give table or json")
	w.imports(2, "csv x --fetch-token"+c, "with --check only")
	w.imports(2, "csv x --prefix a"+c, "--prefix is for keys in Redis only")
	w.imports(2, "csv x --config absent.yaml", "the configuration file cannot be read")
	w.imports(2, "csv x --store memory:"+c, "store is memory:, which keeps nothing")
	w.imports(2, "csv x --component wx7f00c0de00000009"+c, "--component wx7f00c0de00000009: no such platform is configured")
	w.writeCSV("itself.csv")
	w.keeps(2, "csv --source-file itself.csv"+c, w.sim.RefreshToken(scriptComponent, scriptAuthorizer), "itself.csv has more than one line", "give it as SOURCE")
	w.write("wrong.url", "reddis://:s3cr3t@127.0.0.1:1")
	w.keeps(1, "csv reddis://:s3cr3t@127.0.0.1:1"+c, "s3cr3t", "open what SOURCE names: no such file")
	w.keeps(1, "easywechat --source-file wrong.url"+c, "s3cr3t", "lstat what SOURCE names: no such file")
	w.write("own.yaml", "accounts: [{appid: "+scriptAccount+", secret: "+scriptAppSecret+"}]\n")
	w.imports(2, "csv x --config own.yaml", "no platform is configured")

	w.imports(1, "csv absent"+c, "the source: open absent: no such file")
	w.imports(1, "easywechat absent"+c, "the source: .*absent: no such file")
	w.imports(1, "wxjava absent"+c, "SOURCE must be the Redis URL of WxJava")
	w.imports(1, "csv --source-file redis.url"+c, "csv is not read from Redis")
	w.imports(1, "wxjava --source-file redis.url"+c, "the source: nothing was found there", "hint: .*--prefix")
	w.redis.MustDo("SET", "wechat_component_access_token:"+scriptComponent, "61_of_use_for_check_alone")
	w.imports(1, "wxjava --source-file redis.url"+c, "the source: nothing was found there")
	w.write("head.csv", "a,b\n1,2\n")
	w.imports(1, "csv head.csv"+c, "must name the columns appid and refresh_token")
	w.write("bad.csv", "appid,refresh_token,component\n"+scriptAuthorizer+",r1,\n"+scriptComponent+",r1,\n"+scriptAuthorizer+",two words,\n,r2,\nwxa000000000000002,,\nwxa000000000000003,r3,wx7f00c0de00000009\n")
	w.imports(1, "csv bad.csv --write --component "+scriptComponent+c, "line 3 .*the appid of a platform", "line 4 .*not one printable word", "line 5 .*no appid", "missing: 1",
		"line 7 .*of another platform", "done: new: 1, other_platform: 1, missing: 1, malformed: 3", "3 of what was found cannot be used")
	w.write("two.yaml", "store: bolt:two/wx.db\ncomponents:\n- {appid: "+scriptComponent+", secret: "+scriptAppSecret+", push_token: "+scriptPushToken+", encoding_aes_key: "+scriptAESKey+"}\n"+
		"- {appid: wx7f00c0de00000002, secret: "+scriptAppSecret+", push_token: "+scriptPushToken+", encoding_aes_key: "+scriptAESKey+"}\n")
	w.writeCSV("merchants.csv")
	w.imports(1, "csv merchants.csv --config two.yaml", "the source does not say of which platform it is: give --component")
	w.imports(0, "csv merchants.csv --config two.yaml --component wx7f00c0de00000002", "would be: new: 3")
	w.redis.MustDo("HSET", "wechat_authorizer_refresh_token:"+scriptComponent+":"+scriptAuthorizer, "f", "v")
	w.imports(1, "wxjava --source-file redis.url"+c, "the key holds no string")
	w.redis.Kill()
	w.imports(1, "wxjava --source-file redis.url"+c, "the source: redis://.*cannot connect")
	w.calls(0)
}

// A signal ends it while it reads what somebody types or pipes into it.
func TestImport_FromStdin(t *testing.T) {
	t.Parallel()
	w := newImportWorld(t)
	w.writeCSV("merchants.csv")
	program := exec.Command("wxsidecar", "import", "csv", "-", "--config", "c.yaml", "--write")
	program.Dir = w.dir
	in, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Process.Kill() }()
	const more = 256 << 10 // than a pipe holds: once it is written the program reads
	if _, err := io.WriteString(in, readText(t, w.path("merchants.csv"))+strings.Repeat("a line,,\n", more/8)); err != nil {
		t.Fatal(err)
	}
	if err := program.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an import that was interrupted ends well")
		}
	case <-time.After(30 * time.Second):
		t.Error("it goes on reading")
	}
	if found, err := filepath.Glob(w.path("data/*")); err != nil || len(found) > 0 {
		t.Errorf("an import that was interrupted made %v, %v", found, err)
	}
	program = exec.Command("wxsidecar", "import", "csv", "-", "--config", "c.yaml")
	program.Dir, program.Stdin = w.dir, strings.NewReader(readText(t, w.path("merchants.csv")))
	if out, err := program.CombinedOutput(); err != nil || !strings.Contains(string(out), "would be: new: 3") {
		t.Errorf("%v: %s", err, out)
	}
}
