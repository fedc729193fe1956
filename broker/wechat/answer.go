package wechat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const (
	maxMsgBytes = 300
	// maxTokenBytes is far above the 512 characters that WeChat asks to reserve.
	maxTokenBytes = 2048
	maxLife       = 86400 * time.Second
)

func encode(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // WeChat takes \u escapes literally in some texts
	if err := enc.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// read reads an answer of path. WeChat's refusal becomes an *APIError, and what cannot
// be read a *BadAnswerError.
func read(path string, answer []byte, secrets []secret.Text) (object, error) {
	o, err := readAnswer(answer)
	if err != nil {
		return object{}, badAnswer(path, err.Error())
	}
	if !o.has("errcode") {
		return o, nil
	}
	code, ok := o.number("errcode")
	switch {
	case !ok:
		return object{}, badAnswer(path, "errcode "+o.wrong("errcode", "a number"))
	case code != 0:
		return object{}, &APIError{Path: path, Code: int(code), Msg: clean(o.text("errmsg"), secrets)}
	default:
		return o, nil
	}
}

func badAnswer(path, reason string) error {
	return &BadAnswerError{Path: path, Status: 200, Reason: reason}
}

// wrong says why a member is not what is needed.
func (o object) wrong(name, needed string) string {
	switch {
	case o.twice[name]:
		return "occurs in it twice, with different values"
	case o.has(name):
		return "is not " + needed
	default:
		return "is missing"
	}
}

// clean makes the text of an error fit for logs: one line, bounded, without the
// call's own secrets, plain or as they stand in a URL.
func clean(msg string, secrets []secret.Text) string {
	for _, s := range secrets {
		if !s.IsZero() {
			msg = strings.ReplaceAll(msg, s.Reveal(), secret.Redacted)
			msg = strings.ReplaceAll(msg, url.QueryEscape(s.Reveal()), secret.Redacted)
		}
	}
	msg = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, msg)
	if len(msg) > maxMsgBytes {
		msg = strings.ToValidUTF8(msg[:maxMsgBytes], "") + "…"
	}
	return msg
}

// ValidToken reports whether text can be a token of WeChat's at all: one printable word
// of a sane length.
func ValidToken(text string) bool {
	return text != "" && len(text) <= maxTokenBytes && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// ValidAppID reports whether text can be an appid: it will stand in names of records and
// in logs.
func ValidAppID(text string) bool {
	return text != "" && len(text) <= maxName && !strings.ContainsFunc(text, notInName)
}

// token returns a member as a secret if it can be a token.
func (o object) token(path, name string) (secret.Text, error) {
	value := o.text(name)
	switch {
	case value == "":
		return secret.Text{}, badAnswer(path, name+" "+o.wrong(name, "a text"))
	case len(value) > maxTokenBytes:
		return secret.Text{}, badAnswer(path, fmt.Sprintf("%s is longer than %d bytes", name, maxTokenBytes))
	case !ValidToken(value):
		return secret.Text{}, badAnswer(path, name+" holds characters that no token has")
	default:
		return secret.New(value), nil
	}
}

// refreshToken returns none where what stands there can be none: the one held stays
// good, and WeChat can be asked for it in other ways.
func (o object) refreshToken(name string) secret.Text {
	t, err := o.token("", name)
	if err != nil {
		return secret.Text{}
	}
	return t
}

// life returns expires_in as a duration if it is between a second and a day.
func (o object) life(path string) (time.Duration, error) {
	const name, most = "expires_in", int64(maxLife / time.Second)
	n, ok := o.number(name)
	switch {
	case !ok:
		return 0, badAnswer(path, name+" "+o.wrong(name, "a number"))
	case n < 1 || n > most:
		return 0, badAnswer(path, fmt.Sprintf("%s is %d, not 1 to %d", name, n, most))
	default:
		return time.Duration(n) * time.Second, nil
	}
}

// grant returns the token of that name and how long it lives, and the authorizer's
// refresh token if one came with it.
func (o object) grant(path, name string) (Grant, error) {
	token, err := o.token(path, name)
	if err != nil {
		return Grant{}, err
	}
	life, err := o.life(path)
	if err != nil {
		return Grant{}, err
	}
	return Grant{Token: token, Life: life, RefreshToken: o.refreshToken("authorizer_refresh_token")}, nil
}

// appID returns an authorizer_appid that can be one, "" for any other.
func (o object) appID() string {
	if text := o.text("authorizer_appid"); ValidAppID(text) {
		return text
	}
	return ""
}
