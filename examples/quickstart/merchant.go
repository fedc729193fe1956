package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// authorize lets a new merchant authorise the platform, as its browser would.
func (t *tour) authorize(ctx context.Context) error {
	t.step("A merchant authorises the platform, on a page of the sidecar's own.")
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Transport: t.client.Transport, Jar: jar}
	page := t.sidecar.page()
	t.p.line("merchant opens", "GET "+page)
	var links struct {
		URL string `json:"authorize_url"`
	}
	if err := visit(ctx, browser, page, &links); err != nil {
		return err
	}
	t.p.line("page leads to", links.URL)
	landing, err := t.world.wechat.FollowLink(links.URL, page, merchant3)
	if err != nil {
		return err
	}
	t.p.line("and back to", landing)
	var account struct{ AppID, Name string }
	if err := visit(ctx, browser, landing, &account); err != nil {
		return err
	}
	if account.AppID != merchant3 {
		return fmt.Errorf("the page says that %q has authorised, want %s", account.AppID, merchant3)
	}
	t.p.line("page says", "connected: "+account.Name)
	select {
	case event := <-t.app.events:
		t.p.line("app hears", event)
		if event != wechattest.InfoAuthorized+" "+merchant3 {
			return fmt.Errorf("the app hears %q, not that %s has authorised", event, merchant3)
		}
	case <-ctx.Done():
		return fmt.Errorf("wait for the app to hear of the authorization: %w", context.Cause(ctx))
	}
	if _, err := t.call(ctx, call{
		method: http.MethodGet, target: "/" + merchant3 + "/cgi-bin/menu/get",
		path: "/cgi-bin/menu/get", kind: wechattest.KindAuthorizer, owner: merchant3,
	}); err != nil {
		return err
	}
	t.p.so("The code was exchanged, and the app calls for the merchant at once. A browser shows a button and a QR code.")
	return nil
}

// visit loads a page in its JSON form.
func visit(ctx context.Context, browser *http.Client, url string, page any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := browser.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the page %s answers %s", shorten(url), resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(page)
}

// answer lets a user write to the merchant.
func (t *tour) answer(ctx context.Context) error {
	const text = "营业到几点？"
	t.step("A user writes to that merchant, and the app answers.")
	t.p.line("user writes", text)
	reply, err := t.world.wechat.PushMessage(ctx, component, merchant3, wechattest.Message{Content: text})
	if err != nil {
		return err
	}
	got, answered := t.app.last()
	t.p.line("app gets", got)
	t.p.line("app answers", answered)
	t.p.line("user reads", reply.Content)
	if want := "您写的是：" + text; reply.Content != want {
		return fmt.Errorf("the user reads %q, want %q", reply.Content, want)
	}
	t.p.so("WeChat's side was signed and encrypted both ways; the app saw plain JSON.")
	return nil
}
