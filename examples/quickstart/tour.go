package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// staleToken is what an app may still send from older days. The simulated WeChat
// notes a violation should it ever see a text that begins like this.
const staleToken = "APP-OLD-TOKEN"

// tour shows, step by step, and fails on the first thing that is not as it should be.
type tour struct {
	p       printer
	world   *world
	sidecar *sidecar
	app     *app
	client  *http.Client
	steps   int
}

func newTour(p printer, w *world, s *sidecar, a *app) *tour {
	// Without a proxy: HTTP_PROXY must not come between.
	return &tour{p: p, world: w, sidecar: s, app: a, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (t *tour) show(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tourTimeout)
	defer cancel()
	for _, step := range []func(context.Context) error{t.push, t.get, t.post, t.component, t.displaced, t.authorize, t.answer} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if found := t.world.wechat.Violations(); len(found) > 0 {
		return fmt.Errorf("WeChat received what it never should: %s", strings.Join(found, "; "))
	}
	return nil
}

func (t *tour) step(title string) {
	t.steps++
	t.p.step(t.steps, title)
}

// push lets WeChat push a ticket and waits for what follows from it.
func (t *tour) push(ctx context.Context) error {
	t.step("WeChat pushes a ticket, as it does every ten minutes. No ticket, no tokens.")
	before, err := t.tokenz(ctx, http.StatusServiceUnavailable, "waiting_ticket")
	if err != nil {
		return err
	}
	t.p.line("before", "GET /tokenz: 503 "+before)
	if err := t.world.wechat.PushTicket(ctx, component); err != nil {
		return err
	}
	t.p.line("WeChat sends", "POST /wechat/"+component+"/event   signed and encrypted")
	t.p.line("sidecar answers", "200 success, as the ticket is safe on disk")
	if _, err := t.tokenz(ctx, http.StatusOK, ""); err != nil {
		return err
	}
	t.p.line("after", "GET /tokenz: 200")
	t.p.so("The sidecar fetched the platform's token and found its merchants by itself.")
	return nil
}

// tokenz waits until /tokenz has that status and part in its body, which it
// returns in few words.
func (t *tour) tokenz(ctx context.Context, status int, part string) (string, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		got, body, err := t.do(ctx, request{method: http.MethodGet, url: "http://" + t.sidecar.metrics + "/tokenz"})
		if err == nil && got == status && strings.Contains(body, part) {
			return part, nil
		}
		select {
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("wait for /tokenz to answer %d %s: %w; it answers %d %s", status, part, context.Cause(ctx), got, body), err)
		case <-t.sidecar.ended:
			return "", t.sidecar.failure()
		case <-ticker.C:
		}
	}
}

func (t *tour) get(ctx context.Context) error {
	t.step("The app calls for one merchant, with an old token of its own in the URL.")
	_, err := t.call(ctx, call{
		method: http.MethodGet, target: "/cgi-bin/menu/get?access_token=" + staleToken, appID: merchant1,
		path: "/cgi-bin/menu/get", kind: wechattest.KindAuthorizer, owner: merchant1,
	})
	if err != nil {
		return err
	}
	t.p.so(staleToken + " never reached WeChat; " + merchant1 + "'s own token did.")
	return nil
}

func (t *tour) post(ctx context.Context) error {
	t.step("The app sends a message for the other merchant, named in the path.")
	const text = `{"touser":"OPENID","msgtype":"text","text":{"content":"您的订单已发货"}}`
	_, err := t.call(ctx, call{
		method: http.MethodPost, target: "/" + merchant2 + "/cgi-bin/message/custom/send", body: text,
		path: "/cgi-bin/message/custom/send", kind: wechattest.KindAuthorizer, owner: merchant2,
	})
	if err != nil {
		return err
	}
	t.p.so("The body arrived byte for byte, with " + merchant2 + "'s token in the URL.")
	return nil
}

func (t *tour) component(ctx context.Context) error {
	t.step("The app makes a call of the platform itself. It takes another token, under another name.")
	_, err := t.call(ctx, call{
		method: http.MethodPost, target: "/cgi-bin/component/api_create_preauthcode",
		body: `{"component_appid":"` + component + `"}`,
		path: "/cgi-bin/component/api_create_preauthcode", kind: wechattest.KindComponent, owner: component,
	})
	if err != nil {
		return err
	}
	t.p.so("The app need not know which call takes which token; the sidecar does.")
	return nil
}

// displaced lets somebody else fetch the merchant's token, which makes ours void,
// and shows that the app does not notice.
func (t *tour) displaced(ctx context.Context) error {
	t.step("Somebody else fetches " + merchant1 + "'s token: the one that the sidecar holds is void.")
	t.world.wechat.Displace(merchant1)
	received, err := t.call(ctx, call{
		method: http.MethodGet, target: "/cgi-bin/menu/get", appID: merchant1,
		path: "/cgi-bin/menu/get", kind: wechattest.KindAuthorizer, owner: merchant1, refused: 1,
	})
	if err != nil {
		return err
	}
	const cured = `wxsidecar_replays_total{result="cured"} 1`
	_, metrics, err := t.do(ctx, request{method: http.MethodGet, url: "http://" + t.sidecar.metrics + "/metrics"})
	if err != nil || !strings.Contains(metrics, "\n"+cured+"\n") {
		return fmt.Errorf("/metrics has no line %s: %w", cured, orMissing(err))
	}
	t.p.line("metric", cured)
	t.p.so(fmt.Sprintf("Refused with %d, renewed and sent again within one call; the app saw only the good answer.", received[0].Errcode))
	return nil
}

func orMissing(err error) error {
	if err == nil {
		return errors.New("it is missing")
	}
	return err
}

// request is what the tour sends.
type request struct{ method, url, appID, body string }

// do sends r and returns the status and the body of the answer.
func (t *tour) do(ctx context.Context, r request) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		return 0, "", err
	}
	if r.appID != "" {
		req.Header.Set("X-Wechat-Appid", r.appID)
	}
	res, err := t.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read to its end, or the error says why not
	return res.StatusCode, string(body), err
}
