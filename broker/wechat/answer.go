package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
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

// decode checks that answer is one JSON object without doubled names and without
// an errcode, and puts it into out.
func decode(path string, answer []byte, out any, secrets []secret.Text) error {
	bad := func(why string) error { return &BadAnswerError{Path: path, Status: 200, Reason: why} }
	fields, err := object(answer)
	if err != nil {
		return bad(err.Error())
	}
	code, err := errcode(fields["errcode"])
	if err != nil {
		return bad(err.Error())
	}
	if code != 0 {
		var msg string
		_ = json.Unmarshal(fields["errmsg"], &msg) // an errmsg of another type is no reason to lose the code
		return &APIError{Path: path, Code: code, Msg: clean(msg, secrets)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) {
			return bad(fmt.Sprintf("%s is a %s, not a %s", typed.Field, typed.Value, typed.Type))
		}
		return bad("the JSON is broken")
	}
	return nil
}

// object splits a JSON object into its fields.
func object(answer []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(answer))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("the JSON is broken")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errors.New("the JSON is broken or cut off")
		}
		key := strings.ToLower(name.(string)) // encoding/json would take either spelling
		if _, doubled := fields[key]; doubled {
			return nil, fmt.Errorf("the name %q occurs in it twice", key)
		}
		fields[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("the JSON is cut off")
	}
	if dec.More() {
		return nil, errors.New("there is more after the JSON object")
	}
	return fields, nil
}

// errcode reads a number, or a number written as a string, as some paths answer.
func errcode(raw json.RawMessage) (int, error) {
	if raw == nil {
		return 0, nil
	}
	code, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil {
		return 0, errors.New("errcode is not a number")
	}
	return code, nil
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

// checkToken returns the value as a secret if it can be a token at all.
func checkToken(path, field, value string) (secret.Text, error) {
	bad := func(why string) (secret.Text, error) {
		return secret.Text{}, &BadAnswerError{Path: path, Status: 200, Reason: field + " " + why}
	}
	switch {
	case value == "":
		return bad("is missing")
	case len(value) > maxTokenBytes:
		return bad(fmt.Sprintf("is longer than %d bytes", maxTokenBytes))
	}
	for i := 0; i < len(value); i++ {
		if value[i] <= ' ' || value[i] >= 0x7f {
			return bad("holds characters that no token has")
		}
	}
	return secret.New(value), nil
}

// checkLife returns expires_in as a duration if it is between a second and a day.
func checkLife(path string, expiresIn *int64) (time.Duration, error) {
	bad := func(why string) (time.Duration, error) {
		return 0, &BadAnswerError{Path: path, Status: 200, Reason: "expires_in " + why}
	}
	if expiresIn == nil {
		return bad("is missing")
	}
	if *expiresIn < 1 || *expiresIn > int64(maxLife/time.Second) {
		return bad(fmt.Sprintf("is %d, not 1 to %d", *expiresIn, int64(maxLife/time.Second)))
	}
	return time.Duration(*expiresIn) * time.Second, nil
}
