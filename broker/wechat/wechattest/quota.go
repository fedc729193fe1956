package wechattest

import "time"

// clearsPerMonth is how often an account may clear its quotas in thirty days.
const clearsPerMonth = 10

type quotaKey struct{ appID, path string }

// quota counts the calls of one day and the clearings of one month.
type quota struct {
	day     int64
	used    map[quotaKey]int
	month   int64
	cleared map[string]int
	// exhausted is what the test has declared used up.
	exhausted map[quotaKey]bool
}

func newQuota() quota {
	return quota{used: map[quotaKey]int{}, cleared: map[string]int{}, exhausted: map[quotaKey]bool{}}
}

// calendar is the number of the day at now. Days of full length begin at
// midnight of China Standard Time.
func (o Options) calendar(now time.Time) int64 {
	const chinaOffset = 8 * time.Hour
	return int64(now.Add(chinaOffset).Sub(time.Unix(0, 0)) / o.day())
}

// turn begins a new day or month if one has come.
func (s *Server) turn(now time.Time) {
	day := s.opt.calendar(now)
	if day != s.quota.day {
		s.quota.day = day
		clear(s.quota.used)
		clear(s.quota.exhausted)
	}
	if month := day / 30; month != s.quota.month {
		s.quota.month = month
		clear(s.quota.cleared)
	}
}

// spend counts one call of appID and refuses it above the day's limit.
func (s *Server) spend(c *call, appID string) int {
	s.turn(c.now)
	key := quotaKey{appID, c.path}
	limit, limited := s.opt.DailyLimits[c.path]
	if s.quota.exhausted[key] || limited && s.quota.used[key] >= limit {
		return codeQuota
	}
	s.quota.used[key]++
	return codeOK
}

// clearQuota resets the counts of appID.
func (s *Server) clearQuota(appID string, now time.Time) int {
	s.turn(now)
	if s.quota.cleared[appID] >= clearsPerMonth {
		return codeClearQuotaUsedUp
	}
	s.quota.cleared[appID]++
	for key := range s.quota.used {
		if key.appID == appID {
			delete(s.quota.used, key)
		}
	}
	for key := range s.quota.exhausted {
		if key.appID == appID {
			delete(s.quota.exhausted, key)
		}
	}
	return codeOK
}

// ExhaustQuota makes WeChat answer 45009 to appID's calls of path until the day
// ends or the quota is cleared. For api_component_token and other calls of a
// component appID is the component's.
func (s *Server) ExhaustQuota(appID, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(s.now())
	s.quota.exhausted[quotaKey{appID, path}] = true
}
