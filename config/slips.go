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

// slip is one kind of them.
type slip struct {
	pattern *regexp.Regexp
	// reason and hint are formats that take the key.
	reason, hint string
}

var keySlips = []slip{
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*)\s*：`),
		"a full-width colon behind %s", "write %[1]s: and the value, with the colon of ASCII and a blank",
	},
	{
		regexp.MustCompile(`^\s*(?:-\s+)*([a-z][a-z0-9_]*):(?:[^\s:/]|/[^/])`),
		"no blank behind %s:", "write %[1]s: and the value, with a blank between them",
	},
}

// bareVariable is ${NAME} in flow style, where the brace begins a mapping.
var bareVariable = regexp.MustCompile(`[,:\[{]\s*\$\{`)

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
		text := withoutComment(string(line))
		reason, hint := slipOfKey(text)
		if reason == "" {
			inFlow := depth > 0 || strings.ContainsAny(text, "{[")
			if inFlow && bareVariable.MatchString(withoutQuotes(text)) {
				reason, hint = "${…} without quotes inside { }", `put quotes around it: "${NAME}"`
			}
		}
		if reason != "" {
			at := Origin{fromFile, file, number, 0}
			found = append(found, fault{at: at, reason: reason, hint: hint})
		}
		for _, c := range withoutQuotes(text) {
			depth += strings.Count("{[", string(c)) - strings.Count("}]", string(c))
		}
	}
	return found
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
			return fmt.Sprintf(s.reason, m[1]), fmt.Sprintf(s.hint, m[1])
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
		if r == utf8.RuneError && size == 1 {
			return 1 + bytes.Count(content[:i], []byte("\n")), fmt.Sprintf("not UTF-8: byte 0x%02x (Chinese text in GBK begins so)", content[i])
		}
		i += size
	}
	return 0, ""
}
