package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// describe prints what is served, and the settings for a sidecar. The secrets
// are those of a simulation.
func (c config) describe(w io.Writer, s *wechattest.Server, api, control string) {
	fmt.Fprintf(w, "simulated WeChat at %s, control at %s\n\n", api, control)
	for _, p := range c.Components {
		fmt.Fprintf(w, "component        %s\n  secret         %s\n  push token     %s\n  AES key        %s\n  push URL       %s\n  message URL    %s\n  page's domain  %s\n  authorizers    %s\n",
			p.AppID, p.Secret, p.PushToken, p.EncodingAESKey, orNone(p.PushURL), orNone(p.MessageURL), orNone(p.AuthorizeDomain), sample(s.Authorizers(p.AppID)))
	}
	for _, a := range c.Accounts {
		fmt.Fprintf(w, "account          %s\n  secret         %s\n", a.AppID, a.Secret)
	}
	c.describeSidecar(w, api)
	fmt.Fprintf(w, "\ntry: curl -X POST '%s/control/push-ticket'   help: curl %s/\n", control, control)
}

// describeSidecar prints the environment and the file of a sidecar in front.
func (c config) describeSidecar(w io.Writer, api string) {
	fmt.Fprintf(w, "\nwxsidecar environment:\n  WXSIDECAR_UPSTREAM_URL=%[1]s\n  WXSIDECAR_PUSH_LOGIN_URL=%[1]s\n", api)
	upstream := "url: " + api
	if c.TLS {
		fmt.Fprintf(w, "  WXSIDECAR_UPSTREAM_CA_FILE=%s\n", orNone(c.CAFile))
		upstream += ", ca_file: " + orNone(c.CAFile)
	}
	for i, p := range c.Components {
		name := "WXSIDECAR_COMPONENT"
		if len(c.Components) > 1 {
			name = fmt.Sprintf("WXSIDECAR_COMPONENTS_%d", i)
		}
		fmt.Fprintf(w, "  %[1]s_APPID=%[2]s\n  %[1]s_SECRET=%[3]s\n  %[1]s_PUSH_TOKEN=%[4]s\n  %[1]s_ENCODING_AES_KEY=%[5]s\n",
			name, p.AppID, p.Secret, p.PushToken, p.EncodingAESKey)
	}
	for i, a := range c.Accounts {
		for _, s := range a.settings() {
			fmt.Fprintf(w, "  WXSIDECAR_ACCOUNTS_%d_%s=%s\n", i, strings.ToUpper(s[0]), s[1])
		}
	}
	fmt.Fprintf(w, "\nor its file:\n  upstream: {%s}\n  push: {login_url: %s}\n  components:\n", upstream, api)
	for _, p := range c.Components {
		fmt.Fprintf(w, "    - {appid: %s, secret: %s, push_token: %s, encoding_aes_key: %s}\n", p.AppID, p.Secret, p.PushToken, p.EncodingAESKey)
	}
	if len(c.Accounts) > 0 {
		fmt.Fprintln(w, "  accounts:")
	}
	for _, a := range c.Accounts {
		var pairs []string
		for _, s := range a.settings() {
			pairs = append(pairs, s[0]+": "+s[1])
		}
		fmt.Fprintf(w, "    - {%s}\n", strings.Join(pairs, ", "))
	}
}

// settings are the names and values of a sidecar's settings for the account.
func (a accountConfig) settings() [][2]string {
	all := [][2]string{{"appid", a.AppID}, {"secret", a.Secret}, {"push_token", a.PushToken}, {"encoding_aes_key", a.EncodingAESKey}}
	return slices.DeleteFunc(all, func(s [2]string) bool { return s[1] == "" })
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// sample is the first appids of a list and how many there are.
func sample(appIDs []string) string {
	const shown = 3
	if len(appIDs) <= shown {
		return fmt.Sprint(len(appIDs), " ", appIDs)
	}
	return fmt.Sprint(len(appIDs), " ", appIDs[:shown], " …")
}
