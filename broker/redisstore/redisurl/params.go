package redisurl

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

func (t *Target) takeParams(query string, s scheme) error {
	var seen []string
	for param := range strings.SplitSeq(query, "&") {
		if param == "" {
			continue
		}
		name, value, hasValue := strings.Cut(param, "=")
		if !slices.Contains(paramsOf(s), name) {
			return unknown(name, hasValue, s)
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("parameter %s is given twice", name)
		}
		seen = append(seen, name)
		value, err := decode(value)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
		if value == "" {
			return fmt.Errorf("parameter %s is empty", name)
		}
		if err := t.take(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) take(name, value string) error {
	texts := map[string]*string{
		"prefix": &t.Prefix, "password_file": &t.PasswordFile, "ca_file": &t.CAFile, "cert_file": &t.CertFile, "key_file": &t.KeyFile,
		"server_name": &t.ServerName, "sentinel_username": &t.SentinelUser,
	}
	switch name {
	case "tls":
		if value != "true" && value != "false" {
			return errors.New("parameter tls must be true or false")
		}
		t.TLS = value == "true"
	case "sentinel_password":
		t.SentinelPassword = secret.New(value)
	default:
		*texts[name] = value
	}
	return nil
}

// unknown repeats the name only where it is a word with a value: a password with a question mark
// in it looks like a parameter too.
func unknown(name string, hasValue bool, s scheme) error {
	if slices.Contains(tlsParams, name) || name == "tls" {
		return fmt.Errorf("parameter %s needs rediss:// in the place of redis://", name)
	}
	known := strings.Join(paramsOf(s), ", ")
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" || !hasValue || len(name) > 32 {
		return fmt.Errorf("unknown parameter; there are: %s (in a password write %%3F for ?)", known)
	}
	return fmt.Errorf("unknown parameter %s; there are: %s", name, known)
}

func decode(text string) (string, error) {
	decoded, err := url.PathUnescape(text)
	if err != nil { // it repeats a part of the text
		return "", errors.New("a % must be followed by two hexadecimal digits; write %25 for % itself")
	}
	if strings.ContainsAny(decoded, "\x00\r\n") {
		return "", errors.New("contains a line break or a zero")
	}
	return decoded, nil
}
