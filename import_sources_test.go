package main

import (
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// importSource puts into a world what a source holds, and returns the arguments of each import
// that the move needs, with what the first, which brings the ticket, says of its age.
type importSource struct {
	name string
	make func(w *importWorld) []string
	age  string
}

var importSources = []importSource{
	{"wxjava", func(w *importWorld) []string {
		w.knows("ticket@@@wxjava-"+strings.Repeat("T", 60), func(appID string) string { return "refreshtoken@@@wxjava-" + appID + "-" + strings.Repeat("R", 20) })
		w.fill("wxjava.json", 10*time.Minute)
		w.redis.MustDo("SET", "shop:wechat_authorizer_refresh_token:wx7f00c0de00000009:wxa000000000000009", "refreshtoken@@@other")
		return []string{"wxjava --source-file redis.url"}
	}, "10m"},
	{"wechatpy", func(w *importWorld) []string {
		w.knows("ticket@@@wechatpy-"+strings.Repeat("T", 60), func(appID string) string { return "refreshtoken@@@wechatpy-" + appID + strings.Repeat("-R", 8) })
		w.fill("wechatpy.json", 10*time.Minute)
		return []string{"wechatpy --source-file redis.url"}
	}, ""},
	{"easywechat3", func(w *importWorld) []string {
		w.knows("ticket@@@easywechat3-"+strings.Repeat("T", 60), func(appID string) string {
			return "refreshtoken@@@easywechat3-" + appID + "-" + strings.Repeat("R", 20)
		})
		w.copyCache("easywechat3", "0")
		return []string{"easywechat easywechat3"}
	}, ""},
	{"easywechat6", func(w *importWorld) []string {
		w.sim.GiveTicket(scriptComponent, "ticket@@@easywechat6-"+strings.Repeat("T", 60))
		w.copyCache("easywechat6", in(-time.Hour)) // EasyWeChat takes it no longer, and WeChat does
		w.writeCSV("merchants.csv")
		return []string{"easywechat easywechat6", "csv merchants.csv"}
	}, "2h40m"},
	{"easywechat5", func(w *importWorld) []string {
		w.sim.GiveTicket(scriptComponent, "ticket@@@easywechat5-"+strings.Repeat("T", 60))
		w.copyCache("easywechat5", in(30*time.Minute))
		w.writeCSV("merchants.csv")
		return []string{"easywechat easywechat5", "csv merchants.csv"}
	}, "30m"},
	{"node-easywechat", func(w *importWorld) []string {
		ticket := w.sim.NewTicket(scriptComponent)
		dir := programtest.NodeModules(w.t, "broker/imports/testdata/node")
		program := exec.Command(programtest.Need(w.t, "node", "nodejs"), "main.js", w.path("cache"), scriptComponent, ticket)
		program.Dir = dir
		if out, err := program.CombinedOutput(); err != nil {
			w.t.Fatalf("%v\n%s", err, out)
		}
		w.writeCSV("merchants.csv")
		return []string{"easywechat cache", "csv merchants.csv"}
	}, "[0-9]+s"},
	{"wxcomponent", func(w *importWorld) []string {
		w.knows("ticket@@@wxcomponent-"+strings.Repeat("T", 64), func(appID string) string {
			return "refreshtoken@@@wxcomponent-" + appID + "-" + strings.Repeat("R", 16)
		})
		text, err := os.ReadFile("broker/imports/testdata/wxcomponent.sql")
		if err != nil {
			w.t.Fatal(err)
		}
		w.write("dump.sql", strings.ReplaceAll(string(text), "2026-11-29 16:03:00", time.Now().UTC().Add(-20*time.Minute).Format(time.DateTime)))
		return []string{"wxcomponent dump.sql"}
	}, "20m"},
	{"csv", func(w *importWorld) []string {
		text := "appid,refresh_token,ticket\n,," + w.sim.NewTicket(scriptComponent) + "\n"
		for _, appID := range importMerchants {
			text += appID + "," + w.sim.RefreshToken(scriptComponent, appID) + ",\n"
		}
		w.write("all.csv", text)
		return []string{"csv all.csv"}
	}, ""},
}
