package admin

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// What one language has a word for, the other has too, with the same numbers in it.
func TestPageWords_BothLanguages(t *testing.T) {
	english, chinese := reflect.ValueOf(pageEnglish), reflect.ValueOf(pageChinese)
	for i := range english.NumField() {
		name := english.Type().Field(i).Name
		a, b := texts(english.Field(i)), texts(chinese.Field(i))
		if len(a) != len(b) || len(a) == 0 {
			t.Errorf("%s: %d texts in English, %d in Chinese", name, len(a), len(b))
			continue
		}
		for key, text := range a {
			if other, ok := b[key]; !ok || (text == "") != (other == "") && !strings.HasSuffix(key, ".cure") || verbs(text) != verbs(other) {
				t.Errorf("%s%s: %q in English, %q in Chinese", name, key, text, other)
			}
		}
	}
}

// texts returns the texts of a field, by where they stand.
func texts(v reflect.Value) map[string]string {
	all := map[string]string{}
	add := func(at string, v reflect.Value) {
		for key, text := range texts(v) {
			all[at+key] = text
		}
	}
	switch v.Kind() {
	case reflect.String:
		all[""] = v.String()
	case reflect.Map:
		for _, key := range v.MapKeys() {
			add("."+key.String(), v.MapIndex(key))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			add("."+itoa(i), v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			add("."+v.Type().Field(i).Name, v.Field(i))
		}
	}
	return all
}

func verbs(text string) string {
	return strings.Join(regexp.MustCompile(`%[ds]`).FindAllString(text, -1), "")
}

// Each state and finding has words, and there are no others; each in Chinese has a cure.
func TestPageWords_OfEachFinding(t *testing.T) {
	source := ""
	for _, file := range []string{"findings.go", "findings_keys.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	want := []string{wrongSecret, wrongAppID, addressNotListed, addressUnconfirmed, addressRefused}
	for _, m := range regexp.MustCompile(`Code: "(\w+)"`).FindAllStringSubmatch(source, -1) {
		want = append(want, m[1])
	}
	for _, s := range broker.States() {
		if pageEnglish.states[s.String()] == "" {
			t.Errorf("the state %s has no words", s)
		}
		if s != broker.StateLive {
			want = append(want, s.String())
		}
	}
	var got []string
	for cause, words := range pageChinese.findings {
		if got = append(got, cause); words.title == "" || words.cure == "" {
			t.Errorf("%s has no title or no cure in Chinese", cause)
		}
	}
	sort.Strings(want)
	sort.Strings(got)
	if want = slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("findings with words: %q, want %q", got, want)
	}
}

// The page offers operations that there are.
func TestPageActs_Exist(t *testing.T) {
	var all []string
	for _, o := range operations {
		if o.method == "POST" {
			all = append(all, o.path)
		}
	}
	for _, act := range pageActs {
		if !slices.Contains(all, act) {
			t.Errorf("there is no operation %s", act)
		}
		if last := act[strings.LastIndexByte(act, '/')+1:]; last != "link" && pageEnglish.did[last] == "" {
			t.Errorf("what %s did has no words", act)
		}
	}
}

// A time is told in the unit of which there are at least two.
func TestView_Span(t *testing.T) {
	v := &view{w: &pageEnglish}
	for d, want := range map[int]string{0: "0 s", 119: "119 s", 120: "2 min", 7199: "119 min", 7200: "2 h", 172799: "47 h", 172800: "2 days"} {
		if got := v.span(time.Duration(d) * time.Second); got != want {
			t.Errorf("%d s: %s, want %s", d, got, want)
		}
	}
}

// What was refused beside a ticket is in the page's language, apart from WeChat's words, and
// names the platform's path.
func TestPageWords_RefusedPushBesideATicket(t *testing.T) {
	f := func(w *pageWords, want string) {
		t.Helper()
		s := well()
		c := &s.Components[0]
		c.RefusedPush = &broker.RefusedPush{Cause: "unknown_path", Advice: "in English"}
		c.Ticket.Refused = "errcode 61004"
		got := (&view{w: w, status: *s}).ticket(c)
		if got.why != want || got.detail != "errcode 61004" { // which is marked as English
			t.Errorf("%q and %q, want %q", got.why, got.detail, want)
		}
	}
	f(&pageEnglish, "pushes come and are refused (unknown_path): the authorization-event URL (授权事件接收URL) in WeChat's console must end in /wechat/wxc/event")
	f(&pageChinese, "推送到达了，但被拒绝（unknown_path）：微信后台的“授权事件接收URL”必须以 /wechat/wxc/event 结尾")
}
