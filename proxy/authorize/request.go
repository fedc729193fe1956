package authorize

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxState bounds the app's state, which a QR code and WeChat's redirect carry.
	maxState = 128
	// maxCategories bounds category_id_list.
	maxCategories = 256
	// defaultAuthType offers official accounts and mini programs.
	defaultAuthType = "3"
)

// authTypes are the values of auth_type that WeChat documents.
var authTypes = []string{"1", "2", "3", "4", "5", "6", "8"}

// appIDPattern is the form of WeChat's appids. Another biz_appid would cost a pre_auth_code, and
// WeChat's page would refuse it.
var appIDPattern = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

// Request is what a merchant is asked to authorise. The zero value asks for an official
// account or a mini program.
type Request struct {
	// AuthType says which kinds of account WeChat offers: 1 official accounts, 2 mini
	// programs, 3 both, 4 mini program promoters, 5 channels accounts, 6 all, 8 live-sales
	// assistants. Empty means 3.
	AuthType string
	// BizAppID names the one account that may authorise; empty for any of AuthType.
	BizAppID string
	// CategoryIDList is the ids of the permission sets to grant, with | between them;
	// empty for all that the component has.
	CategoryIDList string
	// State is the app's, at most 128 bytes. The landing URL gets it back.
	State string
}

// parameterError says what is wrong with a parameter of the first page.
type parameterError struct{ name, wrong string }

func (e *parameterError) Error() string { return e.name + " " + e.wrong }

// Check returns what is wrong with r, by the parameter's name, or nil.
func (r Request) Check() error {
	other := func(c rune) bool { return c != '|' && (c < '0' || c > '9') }
	switch {
	case r.AuthType != "" && !slices.Contains(authTypes, r.AuthType):
		return &parameterError{"auth_type", "is none of " + strings.Join(authTypes, ", ")}
	case r.BizAppID != "" && !appIDPattern.MatchString(r.BizAppID):
		return &parameterError{"biz_appid", "is not wx and 16 hexadecimal digits in lower case"}
	case len(r.CategoryIDList) > maxCategories || strings.ContainsFunc(r.CategoryIDList, other):
		return &parameterError{"category_id_list", fmt.Sprintf("is not numbers with | between them, or longer than %d bytes", maxCategories)}
	case len(r.State) > maxState || !utf8.ValidString(r.State) || strings.ContainsFunc(r.State, unicode.IsControl):
		return &parameterError{"state", fmt.Sprintf("is longer than %d bytes, or holds characters that cannot be printed", maxState)}
	default:
		return nil
	}
}

// readRequest reads the query of the first page. Parameters that it does not know are
// ignored; one that it knows may be given once.
func readRequest(rawQuery string) (Request, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return Request{}, errors.New("the query cannot be read")
	}
	var r Request
	for name, value := range r.fields() {
		switch given := query[name]; len(given) {
		case 0:
		case 1:
			*value = given[0]
		default:
			return Request{}, &parameterError{name, "is given twice"}
		}
	}
	if r.AuthType == "" {
		r.AuthType = defaultAuthType
	}
	return r, r.Check()
}

// fields returns where the value of each parameter of the first page is kept.
func (r *Request) fields() map[string]*string {
	return map[string]*string{
		"auth_type": &r.AuthType, "biz_appid": &r.BizAppID, "category_id_list": &r.CategoryIDList, "state": &r.State,
	}
}

// query returns what [readRequest] reads.
func (r Request) query() string {
	if r.AuthType == "" {
		r.AuthType = defaultAuthType
	}
	query := url.Values{}
	for name, value := range r.fields() {
		if *value != "" {
			query.Set(name, *value)
		}
	}
	return query.Encode()
}
