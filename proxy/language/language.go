// Package language chooses the language of a page: Chinese or English, as the browser likes.
//
// The package makes no API promise outside this module.
package language

import (
	"strconv"
	"strings"
)

// The languages that pages are in, as BCP 47 tags.
const (
	Chinese = "zh-CN"
	English = "en"
)

// Preferred returns the language that an Accept-Language header likes best, English for one that
// likes neither.
func Preferred(acceptLanguage string) string {
	best, quality := English, 0.0
	for part := range strings.SplitSeq(acceptLanguage, ",") {
		tag, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			q, _ = strconv.ParseFloat(text, 64) // what cannot be read is not liked
		}
		language, _, _ := strings.Cut(strings.ToLower(tag), "-")
		switch {
		case !(q > quality):
		case language == "zh":
			best, quality = Chinese, q
		case language == "en":
			best, quality = English, q
		}
	}
	return best
}
