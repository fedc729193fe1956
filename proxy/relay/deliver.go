package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

// MaxReply bounds a reply in bytes; the longest that WeChat takes, a text of 2,048
// bytes or eight articles, is far from it.
const MaxReply = 64 << 10

// ErrReplyTooLong is wrapped by the error of a delivery whose reply exceeds [MaxReply].
var ErrReplyTooLong = errors.New("the reply is too long")

// StatusError is a reply with a status other than 2xx. A redirect is one too.
type StatusError struct{ Status int }

// Error implements error.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("the target answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Status/100 == 3 {
		text += "; redirects are not followed: give the final URL in events[].url"
	}
	return text
}

// Delivery is one push for a target. InfoType is set for an authorization event, MsgType for a
// message.
type Delivery struct {
	// ID is the same whenever the same push is delivered again, and for nothing else.
	ID string
	// AppID is the account that the push is about; empty where it names none.
	AppID string
	// Component is the platform's appid; empty for an own account.
	Component string
	// InfoType, MsgType and Event are WeChat's words.
	InfoType, MsgType, Event string
	// RequestID names the push in our log; empty for none.
	RequestID string
	// Body is what WeChat wrote, decrypted. It is not changed.
	Body []byte
}

// documentLimits bound the conversion of a push.
var documentLimits = pushdoc.Limits{Bytes: 1 << 20, Markup: 16384, Depth: 16, JSONTokens: 32768}

// Deliver makes one attempt to hand d to t, and returns the body of a 2xx reply, which the
// caller owns. It takes until ctx ends at most. Errors are a *[StatusError], wrap [ErrReplyTooLong] or
// [ErrAddress], or say why there is no reply; they show no secret. After an error the
// target may have got d all the same. Deliver keeps nothing of d.
func (c *Client) Deliver(ctx context.Context, t *Target, d *Delivery) ([]byte, error) {
	req, err := c.request(ctx, t, d)
	if err != nil {
		return nil, fmt.Errorf("deliver to %s: %w", t, err)
	}
	// RoundTrip, since a http.Client would follow redirects, and put the URL into errors.
	resp, err := t.transport(c).RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("deliver to %s: %w", t, withoutQuote(err))
	}
	reply, err := read(resp)
	if err != nil {
		return nil, fmt.Errorf("deliver to %s: %w", t, withoutQuote(err))
	}
	return reply, nil
}

var errNotHTTP = errors.New("what the target answered is not HTTP/1.1")

// withoutQuote replaces an error in which net/http may quote what the target sent.
func withoutQuote(err error) error {
	var network net.Error
	var header textproto.ProtocolError
	broken := strings.Contains(err.Error(), "transport connection broken")
	if errors.As(err, &header) || broken && !errors.As(err, &network) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errNotHTTP
	}
	return err
}

func (c *Client) request(ctx context.Context, t *Target, d *Delivery) (*http.Request, error) {
	body, contentType, err := t.encode(d.Body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Host = t.host
	h, timestamp := req.Header, strconv.FormatInt(c.now().Unix(), 10)
	h.Set("User-Agent", c.userAgent)
	h.Set("Content-Type", contentType)
	set(h, "Webhook-Id", d.ID)
	set(h, "Webhook-Timestamp", timestamp)
	if t.key != nil {
		set(h, "Webhook-Signature", sign(t.key, d.ID, timestamp, body))
	}
	set(h, "X-Wechat-Appid", d.AppID)
	set(h, "X-Wechat-Component", d.Component)
	set(h, "X-Wechat-Info-Type", d.InfoType)
	set(h, "X-Wechat-Msg-Type", d.MsgType)
	set(h, "X-Wechat-Event", d.Event)
	set(h, "X-Request-Id", d.RequestID)
	return req, nil
}

// encode returns a push in the target's form.
func (t *Target) encode(body []byte) ([]byte, string, error) {
	const xmlType, jsonType = "text/xml; charset=utf-8", "application/json; charset=utf-8"
	switch {
	case t.options.Format == JSON:
		converted, err := pushdoc.ToJSON(body, documentLimits)
		if err != nil {
			return nil, "", fmt.Errorf("convert the push to JSON: %w", err)
		}
		return converted, jsonType, nil
	case pushdoc.IsJSON(body):
		return body, jsonType, nil
	default:
		return body, xmlType, nil
	}
}

// set leaves out a header that is empty, or that HTTP cannot carry: WeChat's words come from
// whoever writes to an account, and the body has them as well.
func set(h http.Header, name, value string) {
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f {
			return
		}
	}
	if value != "" && len(value) <= 256 {
		h.Set(name, value)
	}
}

// read returns the body of a reply, and closes it.
func read(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close() //nolint:errcheck // all of it was read, or the connection is given up
	reply, err := io.ReadAll(io.LimitReader(resp.Body, MaxReply+1))
	switch {
	case resp.StatusCode/100 != 2:
		return nil, &StatusError{resp.StatusCode}
	case err != nil:
		return nil, fmt.Errorf("read the reply: %w", err)
	case len(reply) > MaxReply:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrReplyTooLong, MaxReply)
	}
	return reply, nil
}
