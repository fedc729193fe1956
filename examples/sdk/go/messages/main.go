// Command messages has two halves of github.com/silenceper/wechat/v2's handling of messages.
//
//	messages push     encrypts the message on standard input as WeChat does, pushes it to URL,
//	                  and prints the reply, decrypted
//	messages serve    takes such pushes on a loopback port, hands their text to APP, and
//	                  encrypts its reply; it prints the port, and ends with standard input
//
// The variables APPID, TOKEN and KEY hold what WeChat's console does.
package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/silenceper/wechat/v2/util"
)

const (
	nonce  = "1372623149"
	random = "0123456789abcdef"
)

var appID, token, key = os.Getenv("APPID"), os.Getenv("TOKEN"), os.Getenv("KEY")

func main() {
	var err error
	switch mode := append(os.Args, "", "")[1]; mode {
	case "push":
		err = push(os.Getenv("URL"))
	case "serve":
		err = serve(os.Getenv("APP"))
	default:
		err = errors.New("say push or serve")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func push(to string) error {
	plain, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	encrypted, err := util.EncryptMsg([]byte(random), plain, appID, key)
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	query := url.Values{
		"timestamp": {stamp}, "nonce": {nonce}, "encrypt_type": {"aes"}, "signature": {util.Signature(token, stamp, nonce)},
		"msg_signature": {util.Signature(token, stamp, nonce, string(encrypted))},
	}
	body := "<xml><ToUserName>gh_1</ToUserName><Encrypt>" + string(encrypted) + "</Encrypt></xml>"
	resp, err := http.Post(to+"?"+query.Encode(), "text/xml", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var reply struct{ Encrypt, MsgSignature, TimeStamp, Nonce string }
	if err := xml.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if util.Signature(token, reply.TimeStamp, reply.Nonce, reply.Encrypt) != reply.MsgSignature {
		return errors.New("the reply's signature does not match")
	}
	_, text, err := util.DecryptMsg(appID, reply.Encrypt, key)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
