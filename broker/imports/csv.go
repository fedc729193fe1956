package imports

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// csvNames are the names that a column may have, in any case. The first is the one in the
// documentation.
var csvNames = map[string][]string{
	"appid":         {"appid", "authorizer_appid", "app_id"},
	"refresh_token": {"refresh_token", "authorizer_refresh_token", "refreshtoken"},
	"component":     {"component", "component_appid"},
	"ticket":        {"ticket", "component_verify_ticket"},
	"authorized":    {"authorized", "auth_time"},
}

// maxLineBytes bounds a line of a CSV, with all that a quote puts into it.
const maxLineBytes = 64 << 10

// CSV reads a table with a head. Its columns are appid and refresh_token, or component and ticket,
// in any order, and authorized, a Unix time or one of RFC 3339; others are passed over. A line may
// have both a refresh token and a ticket. An error says that the head or the text is none; a line
// that cannot be used is a finding.
func CSV(r io.Reader) ([]Finding, error) {
	buffered := bufio.NewReader(r)
	if err := otherFormat(buffered); err != nil {
		return nil, err
	}
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = buffered.Discard(3) // that much was read
	}
	next := csvLines(buffered)
	head, _, err := next()
	if err != nil {
		return nil, fmt.Errorf("the head of the CSV cannot be read: %w", err)
	}
	columns, err := csvColumns(head)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for {
		fields, line, err := next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the CSV cannot be read: %w", err)
		}
		if found = append(found, columns.read(fields, line)...); len(found) > maxFindings {
			return nil, ErrTooMany
		}
	}
}

// csvTable has the index of each column.
type csvTable map[string]int

func csvColumns(head []string) (csvTable, error) {
	t := csvTable{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		for column, names := range csvNames {
			for _, known := range names {
				if _, twice := t[column]; known == name && twice {
					return nil, fmt.Errorf("the head of the CSV has two columns for %s", column)
				} else if known == name {
					t[column] = i
				}
			}
		}
	}
	_, appID := t["appid"]
	_, refresh := t["refresh_token"]
	_, ticket := t["ticket"]
	if (!appID || !refresh) && !ticket || appID != refresh {
		return nil, errors.New("the head of the CSV must name the columns appid and refresh_token, or ticket, or all three: write appid,refresh_token as its first line, by these names")
	}
	return t, nil
}

func (t csvTable) read(fields []string, line int) (found []Finding) {
	cell := func(column string) string {
		if i, ok := t[column]; ok && i < len(fields) {
			return strings.TrimSpace(fields[i])
		}
		return ""
	}
	where := fmt.Sprintf("line %d", line)
	appID, refresh, ticket, component := cell("appid"), cell("refresh_token"), cell("ticket"), cell("component")
	if appID != "" || refresh != "" {
		f := Finding{Kind: KindRefreshToken, Component: component, AppID: appID, Value: secret.New(refresh), Where: where}
		var ok bool
		if f.At, ok = csvTime(cell("authorized")); !ok {
			f.Fault = "authorized is neither a Unix time in seconds nor one of RFC 3339: write it so, or leave the column out"
		}
		found = append(found, f.checked())
	}
	if ticket != "" {
		found = append(found, Finding{Kind: KindTicket, Component: component, Value: secret.New(ticket), Where: where}.checked())
	}
	if slices.ContainsFunc(fields, hides) {
		found = append(found, Finding{
			Kind: KindRefreshToken, Where: where,
			Fault: "a quote opens there and closes on a later line: merchants may stand between; leave that column out",
		})
	}
	return found
}

// hides reports whether a quoted field may have lines in it that were to be read.
func hides(field string) bool {
	return strings.Contains(field, "\n") && strings.ContainsAny(field, ",;")
}

// csvTime is false for what is no time. Nothing, and 0, is a time that is not known.
func csvTime(text string) (time.Time, bool) {
	if text == "" || text == "0" {
		return time.Time{}, true
	}
	if left, ok := leftUntil([]byte(text), time.Unix(0, 0)); ok {
		return time.Unix(0, 0).Add(left), true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}
