package relay

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// The forms in which a target gets what was pushed.
const (
	// XML is the text as WeChat wrote it, which for an own account may be JSON.
	XML = "xml"
	// JSON is the same as a JSON object; see [pushdoc.ToJSON].
	JSON = "json"
)

// TargetOptions describe a [Target]. Only URL is needed. A list that is empty wants everything,
// with one exception: a target that names only InfoTypes wants no messages, and one that names
// only MsgTypes or Events wants no authorization events.
type TargetOptions struct {
	// URL is where to deliver: http://… or https://…, or unix:///path/of/socket, after
	// which :/path may give the request's path.
	URL string
	// InfoTypes are authorization events, MsgTypes kinds of messages, and Events the
	// events among these, all in WeChat's words. Case does not matter. Events narrows
	// messages of the type event, and wants them if MsgTypes does not name it.
	InfoTypes, MsgTypes, Events []string
	// AppIDs are merchants and own accounts. What names no account, as some
	// authorization events do, goes to targets without AppIDs.
	AppIDs []string
	// Components are platforms. Messages of own accounts have none, and go to targets
	// without Components.
	Components []string
	// Format is [XML] or [JSON]; empty means XML.
	Format string
	// Secret signs; empty for no signature. After whsec_ it is base64, otherwise its bytes
	// are the key.
	Secret secret.Text
}

// Target is an app that wants what WeChat pushes. It is immutable and safe for concurrent use.
type Target struct {
	options TargetOptions
	url     *url.URL // what net/http calls; the host of a socket is its path in hexadecimal
	host    string   // the Host header
	shown   string
	key     []byte // nil for no signature
}

// NewTarget checks o and returns its target. It resolves and calls nothing. Errors show neither
// a secret nor the query of a URL.
func NewTarget(o TargetOptions) (*Target, error) {
	t := &Target{options: o}
	var err error
	if t.url, t.host, t.shown, err = parseURL(o.URL); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if o.Format != "" && o.Format != XML && o.Format != JSON {
		return nil, fmt.Errorf("format: %q is neither %s nor %s", o.Format, XML, JSON)
	}
	if t.key, err = signingKey(o.Secret); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return t, nil
}

// URL returns what [TargetOptions] has: two targets with one URL are the same app.
func (t *Target) URL() string { return t.options.URL }

// String returns the URL without what may be a secret in it, for logs.
func (t *Target) String() string { return t.shown }

const unixScheme = "unix://"

func parseURL(text string) (u *url.URL, host, shown string, err error) {
	if rest, ok := strings.CutPrefix(text, unixScheme); ok {
		return parseUnix(rest)
	}
	u, err = url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		err = errors.New("not an absolute http:// or https:// URL, nor unix:///path/of/socket")
	case u.Hostname() == "":
		err = errors.New("has no host")
	case u.User != nil:
		err = errors.New("has a user or password; use secret to prove who calls")
	case strings.Contains(text, "#"):
		err = errors.New("has a fragment")
	}
	if err != nil {
		return nil, "", "", err
	}
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return u, u.Host, plain.String(), nil
}

// maxSocketPath is what Linux takes.
const maxSocketPath = 107

func parseUnix(rest string) (u *url.URL, host, shown string, err error) {
	socket, path, hasPath := strings.Cut(rest, ":")
	if !hasPath {
		path = "/"
	}
	path, query, _ := strings.Cut(path, "?")
	switch {
	case !strings.HasPrefix(socket, "/") || len(socket) > maxSocketPath:
		return nil, "", "", fmt.Errorf("has no absolute socket path of at most %d bytes", maxSocketPath)
	case !strings.HasPrefix(path, "/"):
		return nil, "", "", errors.New("has no /path after the socket's colon")
	}
	u = &url.URL{Scheme: "http", Host: hex.EncodeToString([]byte(socket)), Path: path, RawQuery: query}
	return u, "localhost", unixScheme + socket + ":" + path, nil
}

// transport returns the one of c that reaches the target.
func (t *Target) transport(c *Client) *http.Transport {
	if strings.HasPrefix(t.options.URL, unixScheme) {
		return c.unix
	}
	return c.tcp
}

// socketOf returns the socket of an address that net/http made of a target's URL.
func socketOf(address string) (string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	socket, err := hex.DecodeString(host)
	return string(socket), err
}
