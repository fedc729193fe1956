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
	"strings"
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

var errNoURL = errors.New("the component has no URL for this push")

// PushRecord is one push with its outcome.
type PushRecord struct {
	At        time.Time
	Component string
	InfoType  string
	// Tries is how often it was sent; Err is empty if the last was answered as
	// WeChat wants.
	Tries int
	Err   string
}

// SealedPush is a push ready to be sent: to the component's PushURL with Query,
// as POST. Tests damage it, repeat it and send it late.
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
	tries, err := s.pushTries(ctx, componentAppID, e)
	s.notePush(PushRecord{At: s.now(), Component: componentAppID, InfoType: e.InfoType, Tries: tries, Err: errText(err)})
	if err != nil {
		return fmt.Errorf("push %s to %s: try %d: %w", e.InfoType, componentAppID, tries, err)
	}
	return nil
}

// pushTries sends e until it is answered as WeChat wants, at most three times.
func (s *Server) pushTries(ctx context.Context, componentAppID string, e Event) (tries int, err error) {
	for tries < pushTries {
		if tries > 0 && sleep(ctx, s.opt.PushRetry) != nil {
			return tries, err
		}
		tries++
		if err = s.pushOnce(ctx, componentAppID, e); err == nil {
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
	envelope, err := s.envelope(settings, e.XML(componentAppID, s.now()))
	if err != nil {
		return SealedPush{}, err
	}
	return sealedPush(settings, envelope, envelope.PushXML(componentAppID)), nil
}

func (s *Server) settingsOf(componentAppID string) Component {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustComponent(componentAppID).Component
}

func (s *Server) envelope(settings Component, plain []byte) (msgcrypt.Envelope, error) {
	codec, err := msgcrypt.New(settings.PushToken, settings.EncodingAESKey, settings.AppID)
	if err != nil {
		return msgcrypt.Envelope{}, fmt.Errorf("seal a push: %w", err)
	}
	s.mu.Lock()
	nonce := strconv.FormatUint(s.mint.rng.Uint64N(1e10), 10)
	s.mu.Unlock()
	return codec.Seal(plain, strconv.FormatInt(s.now().Unix(), 10), nonce)
}

func sealedPush(settings Component, e msgcrypt.Envelope, body []byte) SealedPush {
	return SealedPush{
		Query: url.Values{
			"signature":     {msgcrypt.Signature(settings.PushToken, e.TimeStamp, e.Nonce, "")},
			"timestamp":     {e.TimeStamp},
			"nonce":         {e.Nonce},
			"encrypt_type":  {"aes"},
			"msg_signature": {e.MsgSignature},
		},
		Body: body,
	}
}

// Deliver sends a sealed push to the component's PushURL once and returns the
// answer, whatever it is.
func (s *Server) Deliver(ctx context.Context, componentAppID string, p SealedPush) (PushReply, error) {
	return s.send(ctx, s.settingsOf(componentAppID).PushURL, p)
}

// PushMessage sends a user's message, given as plain XML, to the component's
// MessageURL for the account appID, once, and returns the answer. userName is
// the account's gh_… name.
func (s *Server) PushMessage(ctx context.Context, componentAppID, appID, userName string, plain []byte) (PushReply, error) {
	settings := s.settingsOf(componentAppID)
	envelope, err := s.envelope(settings, plain)
	if err != nil {
		return PushReply{}, err
	}
	p := sealedPush(settings, envelope, envelope.MessageXML(userName))
	return s.send(ctx, strings.ReplaceAll(settings.MessageURL, "$APPID$", appID), p)
}

func (s *Server) send(ctx context.Context, target string, p SealedPush) (PushReply, error) {
	if target == "" {
		return PushReply{}, errNoURL
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(p.Body))
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
