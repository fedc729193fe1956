package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

var (
	//go:embed haproxy.cfg
	haproxyConf string
	//go:embed nginx-lua.conf
	luaConf string
)

// modules is where Debian has nginx's modules.
const modules = "/usr/lib/nginx/modules"

// peer is a proxy that the sidecar is compared with, if it is installed.
type peer struct {
	name string
	// missing says what is not installed; empty if all is.
	missing func() string
	start   func(s *stage, upstream string) (contender, error)
}

var peers = []peer{
	{"nginx", lacksProgram("nginx"), func(s *stage, to string) (contender, error) { return s.startNginx("nginx", nginxConf, to) }},
	{"nginx + Lua", lacksLua, func(s *stage, to string) (contender, error) { return s.startNginx("nginx + Lua", luaConf, to) }},
	{"HAProxy", lacksProgram("haproxy"), (*stage).startHAProxy},
	{"ReverseProxy", func() string { return "" }, (*stage).startReverseProxy},
}

func lacksProgram(name string) func() string {
	return func() string {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
		return ""
	}
}

func lacksLua() string {
	if _, err := os.Stat(filepath.Join(modules, "ngx_http_lua_module.so")); err != nil {
		return "libnginx-mod-http-lua"
	}
	return ""
}

// startPeers starts those that are installed, and names the others on w.
func (s *stage) startPeers(upstream string, w io.Writer) error {
	for _, p := range peers {
		if missing := p.missing(); missing != "" {
			fmt.Fprintf(w, "%s is left out: %s is not installed\n", p.name, missing)
			continue
		}
		c, err := p.start(s, upstream)
		if err != nil {
			return err
		}
		s.contenders = append(s.contenders, c)
	}
	return nil
}
