package main

import "github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"

// What the simulated WeChat and the sidecar agree on. None of it is secret.
const (
	component = "wx7f00c0de00000001"
	merchant1 = "wxa000000000000001"
	merchant2 = "wxa000000000000002"
	// merchant3 authorises the platform during the tour.
	merchant3  = "wxa000000000000003"
	appSecret  = "0123456789abcdef0123456789abcdef"
	pushToken  = "quickstartpushtoken"
	pushAESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// world is a WeChat with one third-party platform, which two merchants have
// authorised.
type world struct {
	wechat *wechattest.Server
	url    string
}

func newWorld() *world {
	w := &world{wechat: wechattest.New(wechattest.Options{})}
	w.url = w.wechat.Start()
	w.setURLs("")
	w.wechat.AddAuthorizer(component, merchant1)
	w.wechat.AddAuthorizer(component, merchant2)
	return w
}

// setURLs does what an operator does in WeChat's console. push is the address of the push
// listener; empty for none yet.
func (w *world) setURLs(push string) {
	c := wechattest.Component{AppID: component, Secret: appSecret, PushToken: pushToken, EncodingAESKey: pushAESKey}
	if push != "" {
		base := "http://" + push + "/wechat/" + component
		c.PushURL, c.MessageURL, c.AuthorizeDomain = base+"/event", base+"/message/$APPID$", "127.0.0.1"
	}
	w.wechat.AddComponent(c)
}
