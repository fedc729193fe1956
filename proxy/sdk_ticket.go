package proxy

import (
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
)

// serveTicket answers with a ticket for an account's pages. It is the real ticket, since
// pages sign with it. Types that the broker does not hold are forwarded to WeChat.
//
// See https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html
func (s *Server) serveTicket(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	if f := r.refuseTwice("type"); f != nil {
		return f
	}
	if r.params.present&hasComponentToken != 0 {
		return noPageTickets()
	}
	appid, f := s.checkAccount(r, c)
	if f != nil {
		return f
	}
	kind := broker.KindJSAPITicket
	switch r.field("type") {
	case "jsapi", "":
	case "wx_card":
		kind = broker.KindWXCardTicket
	default:
		if r.voidHandle() {
			return voidHandle()
		}
		return s.forwardFor(r, resp, appid)
	}
	key := r.cred.key
	key.Kind = kind
	ticket, f := s.token(key)
	if f != nil {
		return f
	}
	b := append([]byte(nil), `{"errcode":0,"errmsg":"ok","ticket":`...)
	b = appendJSONText(b, ticket.Value())
	s.writeJSON(r, resp, appendExpiry(b, s.secondsLeft(ticket), ""))
	return nil
}
