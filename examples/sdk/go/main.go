// Command go calls WeChat with github.com/silenceper/wechat/v2 as it is: official
// accounts and an open platform. It finds the sidecar by HTTPS_PROXY and
// SSL_CERT_FILE alone, and knows no secret.
//
// The variables COMPONENT, SHOP and OWN hold the appids of a platform, of a
// merchant that has authorised it, and of an account of one's own. One round of
// calls is made for each line of standard input.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/officialaccount/menu"
	"github.com/silenceper/wechat/v2/officialaccount/message"
	"github.com/silenceper/wechat/v2/openplatform"
	platformconfig "github.com/silenceper/wechat/v2/openplatform/config"
)

// anything stands where the SDK wants a secret, a ticket or a refresh token.
const anything = "held-by-wxsidecar"

func main() {
	logrus.SetOutput(os.Stderr)
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	wc := wechat.NewWechat()
	wc.SetCache(cache.NewMemory())
	component, shop := os.Getenv("COMPONENT"), os.Getenv("SHOP")
	// Two accounts in one process, told apart by what the SDK gets for their appid.
	accounts := map[string]*officialaccount.OfficialAccount{}
	for _, appid := range []string{shop, os.Getenv("OWN")} {
		accounts[appid] = wc.GetOfficialAccount(&config.Config{AppID: appid, AppSecret: anything})
	}
	platform := wc.GetOpenPlatform(&platformconfig.Config{AppID: component, AppSecret: anything})
	if _, err := platform.SetComponentAccessToken(ctx, anything); err != nil {
		return err
	}
	if _, err := platform.RefreshAuthrToken(shop, anything); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for round := 1; lines.Scan(); round++ {
		for appid, account := range accounts {
			if err := callAccount(out, appid, account); err != nil {
				return fmt.Errorf("round %d, account %s: %w", round, appid, err)
			}
		}
		if err := callPlatform(out, platform, shop); err != nil {
			return fmt.Errorf("round %d, platform: %w", round, err)
		}
		fmt.Fprintf(out, "round %d ok\n", round)
	}
	return lines.Err()
}

// callAccount makes calls of several sorts: GET, POST, with an answer and without.
func callAccount(out io.Writer, appid string, account *officialaccount.OfficialAccount) error {
	token, err := account.GetAccessToken()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s holds %s\n", appid, token)
	if _, err := account.GetMenu().GetMenu(); err != nil {
		return err
	}
	if err := account.GetMenu().SetMenu([]*menu.Button{menu.NewClickButton("商店", "SHOP")}); err != nil {
		return err
	}
	text := message.NewCustomerTextMessage("openid", "您的订单已发货")
	if err := account.GetCustomerMessageManager().Send(text); err != nil {
		return err
	}
	ips, err := account.GetBasic().GetCallbackIP()
	fmt.Fprintf(out, "%s got %d addresses\n", appid, len(ips))
	return err
}

// callPlatform makes a platform's own calls, and one for its merchant.
func callPlatform(out io.Writer, platform *openplatform.OpenPlatform, shop string) error {
	token, err := platform.GetComponentAccessToken()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the platform holds %s\n", token)
	code, err := platform.GetPreCode()
	if err != nil || code == "" {
		return fmt.Errorf("no pre-auth code: %w", err)
	}
	_, info, err := platform.GetAuthrInfo(shop)
	if err != nil || info == nil || info.Appid != shop {
		return fmt.Errorf("no info about %s: %w", shop, err)
	}
	fmt.Fprintf(out, "the platform was told the refresh token %s\n", info.RefreshToken)
	_, err = platform.GetOfficialAccount(shop).GetMenu().GetMenu()
	return err
}
