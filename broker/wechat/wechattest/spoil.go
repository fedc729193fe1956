package wechattest

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
)

// The members of answers that faults spoil, wherever they stand.
var (
	expiresMember = regexp.MustCompile(`"expires_in":(\d+)`)
	tokenMember   = regexp.MustCompile(`"((?:component_|authorizer_)?access_token|ticket)":"[^"]*"`)
	refreshMember = regexp.MustCompile(`"((?:authorizer_)?refresh_token)":"[^"]*"`)
	errcodeMember = regexp.MustCompile(`"errcode":(-?\d+)`)
	chosenMember  = regexp.MustCompile(`"(nick_name|principal_name|signature)":"([^"]*)"`)
	countMember   = regexp.MustCompile(`"(total_count|auth_time)":(\d+)`)
	listMember    = regexp.MustCompile(`"list":\[\{"auth_time":(\d+),"authorizer_appid":"[^"]*"`)
)

// spoil makes of a true answer what the fault wants.
func (s *Server) spoil(rep *reply, f Fault) {
	switch {
	case f.Errcode != 0:
		*rep = s.refuse(f.Errcode)
		if f.Errmsg != "" {
			*rep = answer(object{"errcode": f.Errcode, "errmsg": f.Errmsg})
			rep.code = f.Errcode
		}
	case f.Status != 0 || f.Body != "":
		*rep = page(f)
	case f.Raw != "":
		rep.raw = f.Raw
	}
	spoilMode(rep, f.Mode)
	rep.drip, rep.chunked = f.Drip, f.Chunked
	if rep.status == 0 {
		rep.status = http.StatusOK
	}
}

// page is an answer that is not WeChat's API at all.
func page(f Fault) reply {
	rep := reply{status: f.Status, header: http.Header{}, body: []byte(f.Body)}
	if rep.status == 0 {
		rep.status = http.StatusOK
	}
	if f.Body == "" {
		rep.body = []byte("<html><body><h1>" + http.StatusText(rep.status) + "</h1></body></html>")
		rep.header.Set("Content-Type", "text/html")
	}
	if rep.status >= 300 && rep.status < 400 {
		rep.header.Set("Location", "http://169.254.169.254/latest/meta-data/")
	}
	for name, value := range f.Header {
		rep.header.Set(name, value)
	}
	return rep
}

func spoilMode(rep *reply, m Mode) {
	switch m {
	case "":
	case Refuse, ResetBefore, ResetAfter, Close, Hang, ResetHeaders, ResetBody,
		Truncate, TruncateSilent, TruncateChunked:
		rep.end = m
	case HTML:
		*rep = page(Fault{Body: "<!DOCTYPE html><html><body>Bad gateway</body></html>", Header: map[string]string{"Content-Type": "text/html"}})
	case Empty:
		*rep = reply{status: http.StatusOK}
	case BadJSON:
		*rep = page(Fault{Body: `{"access_token":"abc","expires_in":72`})
	case NullJSON:
		*rep = page(Fault{Body: `null`})
	case ArrayJSON:
		*rep = page(Fault{Body: `[{"errcode":0}]`})
	case BOM:
		rep.body = append([]byte("\xef\xbb\xbf"), rep.body...)
	default:
		rep.body = spoilBody(rep.body, m)
	}
}

// spoilBody changes members of a JSON answer.
func spoilBody(body []byte, m Mode) []byte {
	switch m {
	case ExpiresZero, ExpiresNegative, ExpiresHuge, ExpiresString, ExpiresFloat, ExpiresExponent, ExpiresNaN:
		return expiresMember.ReplaceAll(body, []byte(`"expires_in":`+expiresTexts[m]))
	case ExpiresMissing:
		return drop(body, expiresMember)
	case TokenMissing:
		return drop(body, tokenMember)
	case TokenCRLF:
		return tokenMember.ReplaceAll(body, []byte(`"$1":"abc\r\nX-Injected: yes"`))
	case TokenLong:
		return tokenMember.ReplaceAll(body, []byte(`"$1":"`+strings.Repeat("A", 10<<10)+`"`))
	case TokenEmpty:
		return tokenMember.ReplaceAll(body, []byte(`"$1":""`))
	case TokenNumber:
		return tokenMember.ReplaceAll(body, []byte(`"$1":12345`))
	case DuplicateKeys:
		return tokenMember.ReplaceAll(body, []byte(`$0,"$1":"`+strings.Repeat("D", 140)+`"`))
	case RefreshEmpty:
		return refreshMember.ReplaceAll(body, []byte(`"$1":""`))
	case RefreshMissing:
		return drop(body, refreshMember)
	case ErrcodeAsText:
		return errcodeMember.ReplaceAll(body, []byte(`"errcode":"$1"`))
	case TextsRaw:
		return chosenMember.ReplaceAll(body, []byte("\"$1\":\"$2 \t\n\x07\\S\\u12 \xe5\x90\""))
	case CountsAsText:
		return countMember.ReplaceAll(body, []byte(`"$1":"$2"`))
	case ListItemBad:
		return listMember.ReplaceAll(body, []byte(`"list":[{"auth_time":$1,"authorizer_appid":""`))
	case ErrcodeZeroAdded:
		return bytes.Replace(body, []byte("{"), []byte(`{"errcode":0,"errmsg":"ok",`), 1)
	}
	return body
}

var expiresTexts = map[Mode]string{
	ExpiresZero: "0", ExpiresNegative: "-1", ExpiresHuge: "1000000000",
	ExpiresString: `"$1"`, ExpiresFloat: "${1}.5", ExpiresExponent: "${1}e0", ExpiresNaN: "NaN",
}

// drop removes a member with the comma beside it.
func drop(body []byte, member *regexp.Regexp) []byte {
	const mark = "\x00"
	marked := member.ReplaceAll(body, []byte(mark))
	for _, with := range []string{mark + ",", "," + mark, mark} {
		marked = bytes.ReplaceAll(marked, []byte(with), nil)
	}
	return marked
}
