package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Slips of writing that YAML's parser reports a line late, or in words of its own.

// slip is one kind of them, in one line.
type slip struct {
	// pattern finds it. Where it has a group, that is a key's name, which stands for
	// KEY in the texts.
	pattern      *regexp.Regexp
	reason, hint string
}

// keySlips keep a key from being one. They are looked for also where a key is unknown.
var keySlips = []slip{
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*)\s*：`),
		"a full-width colon behind KEY", "write KEY: and the value, with the colon of ASCII and a blank",
	},
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*):(?:[^\s:/]|/[^/])`),
		"no blank behind KEY:", "write KEY: and the value, with a blank between them",
	},
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*)\s*=`),
		"an equals sign behind KEY", "write KEY: and the value, with a colon and a blank",
	},
	{
		regexp.MustCompile(`^\s*-([a-z][a-z0-9_]*):`),
		"no blank behind -", "write - KEY: with a blank after the hyphen",
	},
	{
		regexp.MustCompile(`^[ \t]*\x{3000}[\s\x{3000}\x{A0}]*(?:-\s+)*([a-z][a-z0-9_]*)\s*(?:[:：]|$)`),
		"U+3000 before KEY", "indent with blanks",
	},
	{
		regexp.MustCompile(`^[ \t]*\x{A0}[\s\x{3000}\x{A0}]*(?:-\s+)*([a-z][a-z0-9_]*)\s*(?:[:：]|$)`),
		"U+00A0 before KEY", "indent with blanks",
	},
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*):\s+[^\s"'|>&*!{\[].*:\s*$`),
		"a colon at the end of the value of KEY", `put quotes around it, like store: "memory:"`,
	},
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*):\s+(?:"[^"]*|'[^']*)$`),
		"the quotes behind KEY: are not closed", "close them at the end of the line",
	},
}

// flowSlips and valueSlips are looked for in what is not in quotes; the former only
// inside { } and [ ].
var (
	flowSlips = []slip{
		{regexp.MustCompile(`[,:\[{]\s*\$\{`), "${…} without quotes inside { }", `put quotes around it: "${NAME}"`},
		{regexp.MustCompile(`，`), "a full-width comma inside { } or [ ]", "write the comma of ASCII"},
	}
	valueSlips = []slip{
		{regexp.MustCompile(`<<:\s`), "aliases are not supported", "write the keys out"},
		{regexp.MustCompile(`(?:^\s*-\s+|:\s+|[,\[{]\s*)\*`), "a value that begins with *", "put quotes around it; aliases are not supported"},
	}
)

// knownKeys has the name of every key, also of those that have keys below them.
var knownKeys = func() map[string]bool {
	known := map[string]bool{}
	for _, path := range leafPaths(configType, "") {
		for name := range strings.SplitSeq(path, ".") {
			name, _, _ = strings.Cut(name, "[")
			known[name] = true
		}
	}
	return known
}()

// findSlips returns a fault for each line of a file that is not YAML and has such a
// slip.
func findSlips(file string, content []byte) []fault {
	var found []fault
	number, depth := 0, 0
	for line := range bytes.Lines(content) {
		number++
		unquoted := withoutComment(withoutQuotes(strings.TrimRight(string(line), "\r\n")))
		reason, hint := slipOfKey(unquoted)
		if reason == "" && (depth > 0 || strings.ContainsAny(unquoted, "{[")) {
			reason, hint = firstSlip(flowSlips, unquoted)
		}
		if reason == "" {
			reason, hint = firstSlip(valueSlips, unquoted)
		}
		if reason != "" {
			at := Origin{fromFile, file, number, 0}
			found = append(found, fault{at: at, reason: reason, hint: hint})
		}
		for _, c := range unquoted {
			depth += strings.Count("{[", string(c)) - strings.Count("}]", string(c))
		}
	}
	return found
}

func firstSlip(slips []slip, text string) (reason, hint string) {
	for _, s := range slips {
		if s.pattern.MatchString(text) {
			return s.reason, s.hint
		}
	}
	return "", ""
}

// slipOf returns what is wrong with a text that stands where keys belong.
func slipOf(n *yaml.Node) (reason, hint string) {
	if n.Kind != yaml.ScalarNode {
		return "", ""
	}
	return slipOfKey(n.Value)
}

func slipOfKey(text string) (reason, hint string) {
	for _, s := range keySlips {
		if m := s.pattern.FindStringSubmatch(text); m != nil && knownKeys[m[1]] {
			return strings.ReplaceAll(s.reason, "KEY", m[1]), strings.ReplaceAll(s.hint, "KEY", m[1])
		}
	}
	return "", ""
}

func withoutComment(line string) string {
	if at := strings.Index(" "+line, " #"); at >= 0 {
		return line[:at]
	}
	return line
}

// notUTF8 returns the line of the first byte that is not UTF-8 and says so; nothing
// for a good file, and for UTF-16 with its mark, which YAML reads too.
func notUTF8(content []byte) (line int, reason string) {
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return 0, ""
	}
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		if r == 0 {
			return lineOf(content, i), "a zero byte (the file may be UTF-16)"
		}
		if r == utf8.RuneError && size == 1 {
			return lineOf(content, i), fmt.Sprintf("not UTF-8: byte 0x%02x (Chinese text in GBK begins so)", content[i])
		}
		i += size
	}
	return 0, ""
}

func lineOf(content []byte, at int) int { return 1 + bytes.Count(content[:at], []byte("\n")) }
