package wechat

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

// pushLimits bound a push. The longest ones are lists of results, some hundred
// elements.
var pushLimits = pushdoc.Limits{Bytes: 1 << 20, Markup: 16384, Depth: 16, JSONTokens: 32768}

const (
	maxName = 128
	maxUnix = 253402300799 // the end of the year 9999
)

// commonFields are the elements right below the root that each push has.
var commonFields = map[string]bool{"AppId": true, "CreateTime": true, "InfoType": true}

// fieldsOf are the elements that pushes of a type, in lower case, are acted on by. An odd one
// costs the push.
var fieldsOf = map[string]map[string]bool{
	InfoTicket:           {"ComponentVerifyTicket": true},
	InfoAuthorized:       authorizedFields,
	InfoUpdateAuthorized: authorizedFields,
	InfoUnauthorized:     {"AuthorizerAppid": true},
	InfoFastRegister:     fastRegisteredFields,
	InfoFastRegisterBeta: fastRegisteredFields,
	InfoFastVerifyBeta:   fastRegisteredFields,
}

// optionalFieldsOf are further elements with a meaning. An odd one is as if it were not there.
var optionalFieldsOf = map[string]map[string]bool{
	InfoAuthorized:       expiryField,
	InfoUpdateAuthorized: expiryField,
	InfoFastRegister:     statusField,
	InfoFastRegisterBeta: statusField,
	InfoFastVerifyBeta:   statusField,
}

var (
	expiryField = map[string]bool{"AuthorizationCodeExpiredTime": true}
	statusField = map[string]bool{"status": true}
)

// accountFields are the elements by which pushes of other types name the account that they
// are about.
var accountFields = map[string]bool{"AuthorizerAppid": true, "appid": true, "authorizer_appid": true, "verify_appid": true}

var (
	authorizedFields     = map[string]bool{"AuthorizerAppid": true, "AuthorizationCode": true}
	fastRegisteredFields = map[string]bool{"appid": true, "auth_code": true}
)

// fields are the texts of the used elements, without the white space around them.
type fields pushdoc.Fields

func (f fields) need(element string) error {
	if f[element] == "" {
		return fmt.Errorf("element %s is missing or empty", element)
	}
	return nil
}

// name checks an appid or a type: it will stand in names of records and in logs.
func (f fields) name(element string) error {
	if err := f.need(element); err != nil {
		return err
	}
	text := f[element]
	if len(text) > maxName || strings.ContainsFunc(text, notInName) {
		return fmt.Errorf("element %s is not a name of letters, digits, - and _", element)
	}
	return nil
}

// onlyAppID returns the account that the push is about, or nothing if it names several, or
// none by what can be an appid.
func (f fields) onlyAppID() string {
	only := ""
	for element := range accountFields {
		switch text := f[element]; {
		case text == "":
		case f.name(element) != nil || only != "" && only != text:
			return ""
		default:
			only = text
		}
	}
	return only
}

func notInName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
		return false
	default:
		return true
	}
}

func (f fields) time(element string) (time.Time, error) {
	if err := f.need(element); err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(f[element], 10, 64)
	if err != nil || n <= 0 || n > maxUnix {
		return time.Time{}, fmt.Errorf("element %s is not a time in seconds", element)
	}
	return time.Unix(n, 0), nil
}

// readFields reads the type first, and then the elements that it gives a meaning: what is odd
// in others must not cost the push.
func readFields(plain []byte) (fields, error) {
	all, err := pushdoc.Read(plain, commonFields, pushLimits)
	if err != nil {
		return nil, err
	}
	infoType := strings.ToLower(all["InfoType"])
	own, optional := fieldsOf[infoType], optionalFieldsOf[infoType]
	if own == nil {
		optional = accountFields // an odd one leaves the account open
	}
	more, err := pushdoc.Read(plain, own, pushLimits)
	if err != nil {
		return nil, err
	}
	maps.Copy(all, more)
	if more, err := pushdoc.Read(plain, optional, pushLimits); err == nil {
		maps.Copy(all, more)
	}
	return fields(all), nil
}
