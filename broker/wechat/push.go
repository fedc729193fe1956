package wechat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// The InfoTypes that have an effect on tokens. Others are kept, not refused.
const (
	InfoTicket           = "component_verify_ticket"
	InfoAuthorized       = "authorized"
	InfoUpdateAuthorized = "updateauthorized"
	InfoUnauthorized     = "unauthorized"
	InfoFastRegister     = "notify_third_fasteregister"
	InfoFastRegisterBeta = "notify_third_fastregisterbetaapp"
	InfoFastVerifyBeta   = "notify_third_fastverifybetaapp"
)

// Push is one authorization event, decrypted and verified.
type Push struct {
	// ID is the same for a repeat of the same push, and for nothing else.
	ID string
	// Component is the component's appid (AppId).
	Component string
	// InfoType is as WeChat spells it, in lower case.
	InfoType   string
	CreateTime time.Time
	// Ticket is set for component_verify_ticket.
	Ticket secret.Text
	// AuthorizerAppID is set for authorized, updateauthorized and unauthorized;
	// for the fast registrations it is their appid, which may be empty. Of other pushes it
	// is the one account that they name, by whatever element; empty if that is unclear.
	AuthorizerAppID string
	// Code is the authorization code: AuthorizationCode, or auth_code of a fast
	// registration with status 0. It may be empty.
	Code secret.Text
	// CodeExpires is AuthorizationCodeExpiredTime; zero when not given.
	CodeExpires time.Time
	// Status is the outcome of a fast registration: 0 for success, else WeChat's
	// code for the failure. It is 0 for all other pushes.
	Status int
	// Document is the whole text.
	Document secret.Text
}

// ParsePush reads the decrypted text of an authorization event, in XML or JSON.
// plain must have been verified before; even so the reading is strict: UTF-8, no
// document type, no comments, bounded depth and number of elements, and no element
// that names an account or holds a ticket or a code given twice or in pieces. InfoTypes
// that it does not know are no error, nor is any oddity in other elements: WeChat adds
// both without notice. An odd status or end of a code is as if it were not there.
// ParsePush does not keep plain, but copies it. An error names what is wrong and in which
// element, and shows nothing of the content.
//
// See https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/ThirdParty/token/component_verify_ticket.html
// and https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/ThirdParty/token/authorize_event.html
func ParsePush(plain []byte) (Push, error) {
	f, err := readFields(plain)
	if err != nil {
		return Push{}, fmt.Errorf("parse push: %w", err)
	}
	p, err := f.push()
	if err != nil {
		return Push{}, fmt.Errorf("parse push: %w", err)
	}
	// WeChat sends a push again with the same text under a new signature.
	sum := sha256.Sum256(plain)
	p.ID = hex.EncodeToString(sum[:16])
	p.Document = secret.New(string(plain))
	return p, nil
}

// push makes a Push of what was read. AppId, the component, and appid, another
// account, differ in case only.
func (f fields) push() (Push, error) {
	p := Push{Component: f["AppId"], InfoType: strings.ToLower(f["InfoType"])}
	created, err := f.time("CreateTime")
	if err := errors.Join(f.name("AppId"), f.name("InfoType"), err); err != nil {
		return Push{}, err
	}
	p.CreateTime = created
	switch p.InfoType {
	case InfoTicket:
		err = f.need("ComponentVerifyTicket")
		p.Ticket = secret.New(f["ComponentVerifyTicket"])
	case InfoAuthorized, InfoUpdateAuthorized:
		err = f.authorized(&p)
	case InfoUnauthorized:
		err = f.name("AuthorizerAppid")
		p.AuthorizerAppID = f["AuthorizerAppid"]
	case InfoFastRegister, InfoFastRegisterBeta, InfoFastVerifyBeta:
		err = f.fastRegistered(&p)
	default:
		p.AuthorizerAppID = f.onlyAppID()
	}
	if err != nil {
		return Push{}, fmt.Errorf("%s: %w", p.InfoType, err)
	}
	return p, nil
}

func (f fields) authorized(p *Push) error {
	p.AuthorizerAppID = f["AuthorizerAppid"]
	p.Code = secret.New(f["AuthorizationCode"])
	p.CodeExpires = f.codeExpires(p.CreateTime)
	return f.name("AuthorizerAppid")
}

func (f fields) fastRegistered(p *Push) error {
	if f["status"] != "" {
		n, err := strconv.Atoi(f["status"])
		if err != nil {
			return errors.New("element status is not a number")
		}
		p.Status = n
	}
	if p.Status == 0 {
		p.Code = secret.New(f["auth_code"])
	}
	if p.AuthorizerAppID = f["appid"]; p.AuthorizerAppID == "" {
		return nil
	}
	return f.name("appid")
}

// codeExpires takes small numbers for seconds from created, as WeChat's example
// has them, and returns zero for what is no time: losing the end of a code is
// better than losing the code.
func (f fields) codeExpires(created time.Time) time.Time {
	const aYear = 365 * 24 * 3600
	n, err := strconv.ParseInt(f["AuthorizationCodeExpiredTime"], 10, 64)
	switch {
	case err != nil || n <= 0 || n > maxUnix:
		return time.Time{}
	case n < aYear:
		return created.Add(time.Duration(n) * time.Second)
	default:
		return time.Unix(n, 0)
	}
}
