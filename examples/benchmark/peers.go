package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// peer is a proxy that can be compared.
type peer struct {
	name, title string
	// needs are files, or programs where there is no slash, each with its package of Debian.
	needs [][2]string
	once  bool // with the first number of accounts only
	start func(ctx context.Context, s *stage, p peer, accounts int) (contender, error)
}

var nginxPackage = [2]string{"nginx", "nginx-light"}

const luaModule = "/usr/lib/nginx/modules/ngx_http_lua_module.so"

// allPeers are in the order of the report. Ratios are to the first that is there, but
// for the upstream itself.
var allPeers = []peer{
	{name: "direct", title: "no proxy", once: true, start: startDirect},
	{name: "nginx", title: "nginx, map", needs: [][2]string{nginxPackage}, start: startNginxMap},
	{name: "lua", title: "nginx + Lua", needs: [][2]string{nginxPackage, {luaModule, "libnginx-mod-http-lua"}}, start: startNginxLua},
	{name: "haproxy", title: "HAProxy", needs: [][2]string{{"haproxy", "haproxy"}}, start: startHAProxy},
	{name: "nethttp", title: "net/http's ReverseProxy", start: startReverseProxy},
	{name: "wxsidecar", title: "wxsidecar", start: startSidecar(featuresOn)},
	{name: "off", title: "wxsidecar, all off", once: true, start: startSidecar(featuresOff)},
	{name: "log", title: "wxsidecar, access log too", once: true, start: startSidecar(featuresLog)},
}

// available returns the peers that can run here, and a line for each that cannot.
func available(wanted []peer) (here []peer, missing []string) {
	for _, p := range wanted {
		lacks := ""
		for _, need := range p.needs {
			if findProgram(need[0]) == "" {
				lacks = fmt.Sprintf("Left out: %s, as %s is missing (Debian's package %s).", p.title, need[0], need[1])
			}
		}
		if lacks != "" {
			missing = append(missing, lacks)
			continue
		}
		here = append(here, p)
	}
	return here, missing
}

// serverFolder is where Debian has servers; not every user's PATH leads there.
var serverFolder = "/usr/sbin"

// findProgram returns the path of a program, or of a file by its path, or "".
func findProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, path := range []string{name, filepath.Join(serverFolder, name)} {
		if _, err := os.Stat(path); filepath.IsAbs(path) && err == nil {
			return path
		}
	}
	return ""
}

var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.cfg
	haproxyConf string
)

func startNginxMap(ctx context.Context, s *stage, p peer, accounts int) (contender, error) {
	lookUp := fmt.Sprintf("map $http_x_wechat_appid $token { include %s/%d.nginx; }", s.dir, accounts)
	return s.startNginx(ctx, p, accounts, "MODULES", "", "LOOKUP", lookUp, "SET", "")
}

func startNginxLua(ctx context.Context, s *stage, p peer, accounts int) (contender, error) {
	modules := fmt.Sprintf("load_module %s;\nload_module %s;", filepath.Join(filepath.Dir(luaModule), "ndk_http_module.so"), luaModule)
	fill := fmt.Sprintf(`lua_shared_dict tokens 64m;
    init_by_lua_block {
        for line in io.lines("%s/%d.map") do
            local appid, token = line:match("(%%S+) (%%S+)")
            ngx.shared.tokens:set(appid, token, 7200)
        end
    }`, s.dir, accounts)
	get := `set_by_lua_block $token { return ngx.shared.tokens:get(ngx.var.http_x_wechat_appid) }`
	return s.startNginx(ctx, p, accounts, "MODULES", modules, "LOOKUP", fill, "SET", get)
}

func (s *stage) startNginx(ctx context.Context, p peer, accounts int, replacements ...string) (contender, error) {
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	name := fmt.Sprintf("%s-%d", p.name, accounts)
	path, err := s.writeConfig(name, nginxConf, append(replacements, "LISTEN", address)...)
	if err != nil {
		return contender{}, err
	}
	return s.runNginx(ctx, p, accounts, address, path)
}

func startHAProxy(ctx context.Context, s *stage, p peer, accounts int) (contender, error) {
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	path, err := s.writeConfig(fmt.Sprintf("haproxy-%d", accounts), haproxyConf, "LISTEN", address, "ACCOUNTS", fmt.Sprint(accounts))
	if err != nil {
		return contender{}, err
	}
	return s.run(ctx, p, accounts, address, findProgram("haproxy"), "-db", "-f", path)
}

func (s *stage) runNginx(ctx context.Context, p peer, accounts int, address, config string) (contender, error) {
	command := []string{findProgram("nginx"), "-p", s.dir, "-c", config, "-e", config + ".log"}
	if os.Geteuid() == 0 {
		// Its workers would run as another user, who cannot read what is here.
		command = append(command, "-g", "user root;")
	}
	return s.run(ctx, p, accounts, address, command...)
}
