package admin

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// Severity says how soon somebody has to act.
type Severity string

// The severities, the worst first.
const (
	// Critical: calls fail, or soon will, and it does not pass by itself or has not yet.
	Critical Severity = "critical"
	// Warning: nobody notices yet.
	Warning Severity = "warning"
	// Note: nothing is broken here; somebody may want to know.
	Note Severity = "note"
)

// Finding is one thing that is wrong.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code is a state of a key, or one of those that docs/admin.md lists.
	Code string `json:"code"`
	// Kind and AppID say whose trouble it is; empty for the sidecar's own. Component is the
	// component of authorizers, which AppIDs names some of.
	Kind      string   `json:"kind,omitempty"`
	AppID     string   `json:"appid,omitempty"`
	Component string   `json:"component,omitempty"`
	AppIDs    []string `json:"appids,omitempty"`
	// Errcode is WeChat's where one is the cause, else 0.
	Errcode int `json:"errcode,omitempty"`
	// Count is how many keys it concerns, 0 where that says nothing.
	Count int        `json:"count,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Message says what is wrong, in WeChat's words where they are the cause, and Cure what
	// to do. Runbook is a section of docs/operations.md.
	Message string `json:"message"`
	Cure    string `json:"cure"`
	Runbook string `json:"runbook"`
	// details is what the message says, for the page in any language.
	details []detail
}

// skewNoted is from which difference on our clock is said to be wrong.
const skewNoted = 30.0

// lateEvent is after how many seconds an event is said to be late.
const lateEvent = 600.0

// findings says what is wrong in s, the worst first. It is pure.
func findings(s *Status) []Finding {
	all := []Finding{}
	all = append(all, ofProcess(s)...)
	all = append(all, ofStore(s)...)
	all = append(all, ofWeChat(s)...)
	for i := range s.Components {
		all = append(all, ofComponent(&s.Components[i], s)...)
	}
	for i := range s.Accounts {
		all = append(all, ofKey(&s.Accounts[i])...)
	}
	all = append(all, ofAuthorizers(s)...)
	all = append(all, ofEvents(s)...)
	sort.SliceStable(all, func(i, j int) bool { return rank(all[i].Severity) < rank(all[j].Severity) })
	return all
}

func rank(s Severity) int { return slices.Index([]Severity{Critical, Warning, Note}, s) }

func ofProcess(s *Status) []Finding {
	var all []Finding
	if s.State == "draining" {
		all = append(all, saying(Finding{
			Severity: Note, Code: "draining", Cure: "nothing: it ends by itself", Runbook: "starting-stopping-upgrading",
		}, "draining"))
	}
	if r := s.LastReload; r != nil && !r.Applied {
		all = append(all, saying(Finding{
			Severity: Warning, Code: "reload_refused", Since: &r.At,
			Cure: "correct the configuration; wxsidecar check says whether it is right", Runbook: "starting-stopping-upgrading",
		}, "reload_refused", strings.Join(r.Faults, "; ")))
	}
	if skew := s.Clock.SkewSeconds; math.Abs(skew) > skewNoted {
		side := "clock_behind"
		if skew < 0 {
			side = "clock_ahead"
		}
		all = append(all, saying(Finding{
			Severity: Warning, Code: "clock_wrong", Cure: "set the clock right (NTP): certificates are checked against it", Runbook: "clock-skew",
		}, side, int(math.Round(math.Abs(skew)))))
	}
	return all
}

func ofStore(s *Status) []Finding {
	var all []Finding
	if sh := s.Shared; sh != nil && sh.Error+s.Storage.Error != "" {
		all = append(all, saying(Finding{
			Severity: Critical, Code: "store_unreadable", Since: sh.Since,
			Cure:    "start Redis again, or mend the way to it; living tokens are served meanwhile, pushes wait at WeChat, and no restart is needed",
			Runbook: "while-redis-is-away",
		}, "shared_unreadable", cmp.Or(sh.Error, s.Storage.Error)))
	} else if s.Storage.Error != "" {
		all = append(all, saying(Finding{
			Severity: Critical, Code: "store_unreadable", Cure: "mend the store; living tokens are served meanwhile, and no restart is needed", Runbook: "the-store",
		}, "store_unreadable", s.Storage.Error))
	}
	if n := s.Storage.Unsaved; n > 0 {
		all = append(all, saying(Finding{
			Severity: Critical, Code: "store_unwritable", Count: n,
			Cure: "make room, or the store writable, and do not restart before; all is saved by itself then", Runbook: "the-store",
		}, "unsaved", n, s.Storage.UnsavedReason))
	}
	if sh := s.Shared; sh != nil && sh.Refused != "" && sh.Error == "" && s.Storage.Unsaved == 0 {
		all = append(all, saying(Finding{
			Severity: Critical, Code: "store_unwritable", Cure: "make room, or the store writable; all goes on by itself then", Runbook: "the-store",
		}, "takes_nothing", sh.Refused))
	}
	if r := s.Storage.Repaired; r != nil {
		all = append(all, saying(Finding{
			Severity: Warning, Code: "store_repaired",
			Cure: "WeChat's list brings back what is missing; look at the disk, keep the old file until all merchants are there again, and restart to end this notice", Runbook: "the-store",
		}, "store_repaired", r.Reason, r.MovedTo, r.Kept))
	}
	return all
}

func ofWeChat(s *Status) []Finding {
	var all []Finding
	switch {
	case s.WeChat.ProxyFails:
		all = append(all, saying(Finding{
			Severity: Critical, Code: "proxy_unreachable", Since: s.WeChat.Since,
			Cure: "mend the proxy, or correct upstream.proxy; it is asked every two seconds, and all goes on by itself", Runbook: "the-proxy-does-not-let-us-through",
		}, "proxy_unreachable", s.WeChat.Fault))
	case s.WeChat.Outage != "":
		all = append(all, saying(Finding{
			Severity: Critical, Code: "wechat_unreachable", Since: s.WeChat.Since,
			Cure: "check DNS and the way out; it is asked every two seconds, and all goes on by itself", Runbook: "wechat-does-not-answer",
		}, "wechat_unreachable", s.WeChat.Fault))
	}
	for _, h := range s.WeChat.Hosts {
		if h.OutUntil != nil && s.WeChat.Outage == "" { // else that is why
			all = append(all, saying(Finding{
				Severity: Warning, Code: "host_out", Cure: "check the way to it; it is tried again by itself", Runbook: "wechat-does-not-answer",
			}, "host_out", h.Name, h.Failures))
		}
	}
	return all
}
