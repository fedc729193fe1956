package wechattest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// WeChat tries a push three times and waits five seconds for each answer. See
// https://developers.weixin.qq.com/doc/service/guide/dev/api/warn_guide.html
const (
	pushTries   = 3
	pushTimeout = 5 * time.Second
	maxReply    = 1 << 20
	maxPushes   = 4096
)

var errNoURL = errors.New("there is no URL for this push: set push_url or message_url")

// PushRecord is one push with its outcome.
type PushRecord struct {
	At time.Time
	// Component is empty for a message to an own account.
	Component string
	// InfoType is that of an authorization event. AppID and MsgType are of a message.
	InfoType       string
	AppID, MsgType string
	// Tries is how often it was sent; Err is empty if the last was answered as
	// WeChat wants.
	Tries int
	Err   string
}

// SealedPush is a push ready to be sent: to the component's PushURL, or to a message URL, with
// Query, as POST. Tests damage it, repeat it and send it late.
type SealedPush struct {
	Query url.Values
	Body  []byte
}

// PushReply is what a receiver answered.
type PushReply struct {
	Status int
	Body   []byte
}

// PushTicket makes a ticket and pushes it, with WeChat's tries.
func (s *Server) PushTicket(ctx context.Context, componentAppID string) error {
	return s.Push(ctx, componentAppID, Event{InfoType: InfoTicket, Ticket: s.NewTicket(componentAppID)})
}

// Push delivers an event, sealed and signed, to the component's PushURL: up to
// three tries, each of which must be answered with status 200 and exactly
// "success" within five seconds. It returns nil once one was. It blocks.
func (s *Server) Push(ctx context.Context, componentAppID string, e Event) error {
	if e.CreateTime.IsZero() {
		e.CreateTime = s.now()
	}
	if _, err := s.Seal(componentAppID, e); err != nil || s.settingsOf(componentAppID).PushURL == "" {
		return fmt.Errorf("push %s to %s: %w", e.InfoType, componentAppID, cmp.Or(err, errNoURL))
	}
	tries, err := s.tries(ctx, func() error { return s.pushOnce(ctx, componentAppID, e) })
	s.notePush(PushRecord{At: s.now(), Component: componentAppID, InfoType: e.InfoType, Tries: tries, Err: errText(err)})
	if err != nil {
		return fmt.Errorf("push %s to %s: try %d: %w", e.InfoType, componentAppID, tries, err)
	}
	return nil
}

// tries calls push until it is answered as WeChat wants, at most three times.
func (s *Server) tries(ctx context.Context, push func() error) (tries int, err error) {
	var began time.Time
	for tries < pushTries {
		if tries > 0 && sleep(ctx, s.opt.PushRetry-time.Since(began)) != nil {
			return tries, err
		}
		began = time.Now()
		tries++
		if err = push(); err == nil {
			return tries, nil
		}
	}
	return tries, err
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *Server) notePush(r PushRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pushes) >= maxPushes {
		s.pushes = append(s.pushes[:0], s.pushes[maxPushes/2:]...)
	}
	s.pushes = append(s.pushes, r)
}

// Pushes returns the last pushes, oldest first.
func (s *Server) Pushes() []PushRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]PushRecord(nil), s.pushes...)
}

func (s *Server) pushOnce(ctx context.Context, componentAppID string, e Event) error {
	sealed, err := s.Seal(componentAppID, e)
	if err != nil {
		return err
	}
	reply, err := s.Deliver(ctx, componentAppID, sealed)
	if err != nil {
		return err
	}
	if reply.Status != http.StatusOK || string(reply.Body) != "success" {
		return fmt.Errorf("answered with status %d and %d bytes, not with 200 and exactly success", reply.Status, len(reply.Body))
	}
	return nil
}

// Seal encrypts and signs an event as WeChat does, and sends nothing.
func (s *Server) Seal(componentAppID string, e Event) (SealedPush, error) {
	settings := s.settingsOf(componentAppID)
	envelope, err := s.envelope(settings.PushToken, settings.EncodingAESKey, componentAppID, e.XML(componentAppID, s.now()))
	if err != nil {
		return SealedPush{}, err
	}
	return sealedPush(settings.PushToken, envelope, envelope.PushXML(componentAppID)), nil
}

func (s *Server) settingsOf(componentAppID string) Component {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustComponent(componentAppID).Component
}

// envelope seals plain. appID ends the frame: the component's, or an own account's.
func (s *Server) envelope(token, encodingAESKey, appID string, plain []byte) (msgcrypt.Envelope, error) {
	codec, err := msgcrypt.New(token, encodingAESKey, appID)
	if err != nil {
		return msgcrypt.Envelope{}, fmt.Errorf("seal a push: %w", err)
	}
	timestamp, nonce := s.stamp()
	return codec.Seal(plain, timestamp, nonce)
}

// stamp returns the timestamp and the nonce of a push.
func (s *Server) stamp() (timestamp, nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strconv.FormatInt(s.now().Unix(), 10), strconv.FormatUint(s.mint.rng.Uint64N(1e10), 10)
}

func sealedPush(token string, e msgcrypt.Envelope, body []byte) SealedPush {
	query := signedQuery(token, e.TimeStamp, e.Nonce)
	query.Set("encrypt_type", "aes")
	query.Set("msg_signature", e.MsgSignature)
	return SealedPush{Query: query, Body: body}
}

// signedQuery is what each call of WeChat's has in its query.
func signedQuery(token, timestamp, nonce string) url.Values {
	return url.Values{
		"signature": {msgcrypt.Signature(token, timestamp, nonce, "")},
		"timestamp": {timestamp},
		"nonce":     {nonce},
	}
}

// Deliver sends a sealed push to the component's PushURL once and returns the
// answer, whatever it is.
func (s *Server) Deliver(ctx context.Context, componentAppID string, p SealedPush) (PushReply, error) {
	return s.send(ctx, s.settingsOf(componentAppID).PushURL, p)
}

func (s *Server) send(ctx context.Context, target string, p SealedPush) (PushReply, error) {
	return s.request(ctx, http.MethodPost, target, p)
}

// request calls target as WeChat's servers do, once, and waits five seconds for the answer.
func (s *Server) request(ctx context.Context, method, target string, p SealedPush) (PushReply, error) {
	if target == "" {
		return PushReply{}, errNoURL
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(p.Body))
	if err != nil {
		return PushReply{}, fmt.Errorf("bad push URL %q", target)
	}
	query := p.Query.Encode()
	if req.URL.RawQuery != "" {
		query = req.URL.RawQuery + "&" + query
	}
	req.URL.RawQuery = query
	req.Header.Set("Content-Type", "text/xml")
	req.Header.Set("User-Agent", "Mozilla/4.0")
	resp, err := s.opt.Pusher.RoundTrip(req)
	if err != nil {
		return PushReply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	return PushReply{Status: resp.StatusCode, Body: body}, err
}
