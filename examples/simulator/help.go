package main

import (
	"fmt"
	"net/http"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// help says what the control API can do.
func (k control) help(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, helpText, k.s.Components(), k.s.Accounts(), wechattest.Modes())
}

const helpText = `Simulated WeChat: control API

components %v, own accounts %v
?component= may be left out when there is only one.

POST   /control/push-ticket?component=         push a new component_verify_ticket now
POST   /control/push?component=                push any event; JSON: {"InfoType": "...", "AuthorizerAppID": "...", "Extra": "<x/>", ...}
POST   /control/message?component=&appid=      a user writes to an account; JSON: {"Content": "hi"} or {"Event": "subscribe", ...}; answers the reply
POST   /control/check-url?appid=               check an own account's message URL, as saving it in the console does
POST   /control/release-check?component=       run the whole-network release check; &json=true: with messages in JSON; &pair=0 to 4
POST   /control/authorize?component=&appid=    a merchant authorises, or renews; &push=false: without the event
POST   /control/revoke?component=&appid=       the merchant takes it back; &push=false: without the event
POST   /control/expire?appid=                  end the life of its tokens (42001); without appid: of all tokens
POST   /control/expire-tickets?component=      end the life of its tickets (61005)
POST   /control/displace?appid=                somebody else fetches a token (40001); &overlap=true: with the overlap
POST   /control/rotate?component=&appid=       give a new refresh token; the former is 61023
POST   /control/void?component=&appid=         make the refresh token void (61023) without another
POST   /control/unlist?component=&appid=       api_get_authorizer_list leaves its refresh token out; &on=false: no longer
POST   /control/stop-pushing?component=        no tickets until api_start_push_ticket is called
POST   /control/refuse-ip?appid=               the caller's address is not in the whitelist; &on=false: it is
POST   /control/exhaust-quota?appid=&path=     45009 until the day ends
POST   /control/skew?by=-1h                    shift the Date header of all answers
POST   /control/outage?on=true                 WeChat is unreachable; on=false: it is back
POST   /control/certificate?show=              TLS: expired, wrong-name, unknown-ca, or nothing for the good one
POST   /control/fault                          JSON, see below
DELETE /control/faults                         no faults any more
POST   /control/login-code?appid=              a code as wx.login or the OAuth page gives it
GET    /control/requests?path=&appid=&limit=   what reached WeChat
DELETE /control/requests                       forget it
GET    /control/violations                     what a good client never does
GET    /control/pushes                         pushes and how they were answered
GET    /control/state?limit=                   accounts and their living tokens
GET    /control/secrets                        every secret, to search logs for
GET    /control/ca.pem                         the CA's certificate

The authorization page is on the API's listener, at /cgi-bin/componentloginpage.

A fault: {"path": "/cgi-bin/menu/*", "times": 2, "errcode": 40001}
  path         exact, or a prefix with a star at its end; empty: all
  host, appid  only calls of that host, or of that account
  component    only calls for that component
  times        how many calls (0: all); probability: which share of them
  latency      "2s" before the call takes effect; drip: before each byte of the body
  errcode      answer it (errmsg: with this text)
  status       answer that HTTP status, with header and body
  raw          send exactly these bytes and close
  chunked      answer without Content-Length
  effect       the call takes effect although its answer is lost
  mode         one of %v
`
