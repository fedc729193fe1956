package imports

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Entry is a key of a key-value store, or what a file of a cache holds under one.
type Entry struct {
	Key   string
	Value []byte
	// Left is how long it lives on; 0 for always. It is negative for one that is over and still
	// lies there.
	Left time.Duration
	// Fault says why the value could not be read; empty for one that could.
	Fault string
}

// MaxValueBytes bounds the value of an [Entry]: those of interest are shorter.
const MaxValueBytes = 4 << 10

// Source is where an SDK holds what is imported, as keys of Redis.
type Source struct {
	// Name is the SDK's.
	Name string
	// marks are what its keys have after the prefix, or before the appid.
	marks []string
	// ends says that the marks are the ends of keys.
	ends bool
	read func(key keyText, e Entry, now time.Time) (Finding, bool)
	// defaultPrefix is what keys begin with unless that was changed; empty for anything.
	defaultPrefix string
	// colon says that one ends a prefix, whether it was given with it or without.
	colon bool
}

// The sources that hold keys.
var (
	WxJava = Source{
		Name: "wxjava", colon: true, read: readWxJava,
		marks: []string{wxJavaTicket, wxJavaRefresh, wxJavaComponent},
	}
	Wechatpy = Source{
		Name: "wechatpy", defaultPrefix: "wechatpy", colon: true, read: readWechatpy, ends: true,
		marks: []string{wechatpyTicket, wechatpyRefresh, wechatpyComponent},
	}
	EasyWeChat = Source{
		Name: "easywechat", read: readEasyWeChat,
		marks: []string{easyTicket, easyOldTicket, easyRefresh, easyComponent},
	}
)

// keyText is a key that is cut where its mark stands.
type keyText struct{ prefix, mark, rest string }

// Patterns returns what Redis's SCAN finds the source's keys by. An empty prefix is the default
// one, and any where the source has none.
func (s Source) Patterns(prefix string) []string {
	begin := escapePattern(s.prefix(prefix))
	if begin == "" {
		begin = "*"
	}
	all := make([]string, len(s.marks))
	for i, mark := range s.marks {
		all[i] = begin + mark + "*"
		if s.ends {
			all[i] = begin + "*" + mark
		}
	}
	return all
}

// prefix returns what all keys begin with; empty for anything.
func (s Source) prefix(given string) string {
	if given == "" {
		given = s.defaultPrefix
	}
	if given != "" && s.colon && !strings.HasSuffix(given, ":") {
		given += ":"
	}
	return given
}

// escapePattern has SCAN take a text as it is.
func escapePattern(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// Read returns what an entry holds, and false for a key that is none of the source's. It never
// keeps e's value.
func (s Source) Read(prefix string, e Entry, now time.Time) (Finding, bool) {
	begin := s.prefix(prefix)
	key, ok := strings.CutPrefix(e.Key, begin)
	if !ok {
		return Finding{}, false
	}
	cut, ok := s.cut(key)
	if !ok {
		return Finding{}, false
	}
	f, ok := s.read(cut, e, now)
	if !ok {
		return Finding{}, false
	}
	f.Where = plainKey(e.Key)
	if e.Fault != "" {
		f.Fault = e.Fault
	}
	return f.checked(), true
}

// plainKey returns a key as it is, or with escapes if a terminal could obey it.
func plainKey(key string) string {
	if utf8.ValidString(key) && !strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return key
	}
	quoted := strconv.Quote(key)
	return quoted[1 : len(quoted)-1]
}

func (s Source) cut(key string) (keyText, bool) {
	for _, mark := range s.marks {
		if s.ends {
			if rest, ok := strings.CutSuffix(key, mark); ok {
				return keyText{mark: mark, rest: rest}, true
			}
			continue
		}
		if i := strings.LastIndex(key, mark); i >= 0 {
			return keyText{key[:i], mark, key[i+len(mark):]}, true
		}
	}
	return keyText{}, false
}
