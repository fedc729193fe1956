package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// The forms that WeChat's console gives out. Only what cannot be is a fault; another
// form than today's is warned of.
var (
	appSecretForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	pushTokenForm = regexp.MustCompile(`^[A-Za-z0-9]{3,32}$`)

	unexpandedForm  = regexp.MustCompile(`^\$[A-Za-z_({]|\$\{`)
	placeholderForm = regexp.MustCompile(`^(?:[.…]+|<.*>)$`)
)

const copyAgainHint = "copy it again from WeChat's console"

// credential reports what cannot be a credential of WeChat's at all: what editors,
// shells and clipboards leave of one. No report shows any of it but characters that
// are never part of one.
//
// It reports whether there is nothing of that.
func (l *Loaded) credential(key string, s secret.Text) bool {
	text := s.Reveal()
	if text == "" {
		return true
	}
	switch {
	case placeholderForm.MatchString(text):
		l.fault(key, "", "a placeholder, not the value", copyAgainHint)
	case inQuotes(text):
		l.fault(key, "", "stands in quotes that are part of the value", quotesHint)
	case unexpandedForm.MatchString(text) && l.given(key+"_file"):
		l.fault(key, "", "a variable that is not expanded", "write the secret itself into the file")
	case unexpandedForm.MatchString(text):
		l.fault(key, "", "a variable that is not expanded", "write it like ${NAME}, and nothing else in the value")
	case !utf8.ValidString(text):
		l.fault(key, "", "is not UTF-8 text", "save the file as UTF-8 or ASCII, without a byte order mark")
	default:
		return l.credentialCharacters(key, text)
	}
	return false
}

func (l *Loaded) credentialCharacters(key, text string) bool {
	reason, hint := foreignCharacter(text)
	if reason != "" {
		l.fault(key, "", reason, copyAgainHint+hint)
	}
	return reason == ""
}

// foreignCharacter returns the first character of text that no credential and no URL
// has, in words, and a hint for it, which may be empty.
func foreignCharacter(text string) (reason, hint string) {
	for _, r := range text {
		switch name := invisible[r]; {
		case r == '\uFEFF':
			return "has U+FEFF (byte order mark) in it", "; save a file without a byte order mark"
		case name != "":
			return fmt.Sprintf("has U+%04X (%s) in it", r, name), ""
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return "has white space or a control character in it", ""
		case r > unicode.MaxASCII:
			return fmt.Sprintf("has U+%04X in it, which is not ASCII", r), ""
		}
	}
	return "", ""
}

// invisible are characters that nobody sees and that are no white space.
var invisible = map[rune]string{
	'\u200B': "zero width space", '\u200C': "zero width non-joiner", '\u200D': "zero width joiner",
	'\u2060': "word joiner", '\u00AD': "soft hyphen", '\u200E': "left-to-right mark", '\u200F': "right-to-left mark",
	'\uFFFD': "replacement character",
}

const quotesHint = "remove the quotes: docker's --env-file keeps them, and so does a file"

// inQuotes reports whether text stands in a pair of quotes.
func inQuotes(text string) bool {
	for _, pair := range []string{`""`, "''", "``", "“”", "‘’"} {
		first, size := utf8.DecodeRuneInString(pair)
		if len(text) >= len(pair) && strings.HasPrefix(text, string(first)) && strings.HasSuffix(text, pair[size:]) {
			return true
		}
	}
	return false
}

// appSecret reports what cannot be an AppSecret, and warns of what has not the form of
// one. pushToken is the one that stands beside it, if any.
func (l *Loaded) appSecret(key string, s, pushToken secret.Text) {
	text := s.Reveal()
	switch {
	case !l.credential(key, s) || l.faulty(key) || text == "" || appSecretForm.MatchString(text):
	case appSecretForm.MatchString(pushToken.Reveal()):
		l.warn(key, "is not 32 hexadecimal digits, and push_token is: the two look swapped")
	case aesKeyPattern.MatchString(text):
		l.warn(key, "has the form of an encoding_aes_key, not of an AppSecret (32 hexadecimal digits); "+copyAgainHint)
	default:
		l.warn(key, fmt.Sprintf("is not 32 hexadecimal digits in lower case, as WeChat's AppSecrets are (it has %s); compare it with WeChat's console",
			plural(len([]rune(text)), "character")))
	}
}

func (l *Loaded) pushToken(key string, s secret.Text) {
	if l.credential(key, s) && !l.faulty(key) && !s.IsZero() && !pushTokenForm.MatchString(s.Reveal()) {
		l.warn(key, "is not 3 to 32 letters and digits, as WeChat's console wants it (消息校验Token)")
	}
}
