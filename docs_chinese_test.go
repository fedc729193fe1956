package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Names of WeChat's console, written there without a space.
var consoleNames = regexp.MustCompile(`消息校验Token|消息加解密Key|授权事件接收URL|消息与事件接收URL|白名单IP地址列表|IP白名单|原始ID|服务器地址\(URL\)|令牌\(Token\)|此IP|该IP`)

// wrongSetting is how Chinese text does not look.
var wrongSetting = map[string]*regexp.Regexp{
	"no space between Chinese and Latin": regexp.MustCompile("\\p{Han}[A-Za-z0-9`]|[A-Za-z0-9`]\\p{Han}"),
	"half-width punctuation":             regexp.MustCompile(`\p{Han} ?[,;:?!(]|[,;:?!)] ?\p{Han}`),
	"a space beside full-width signs":    regexp.MustCompile(`[^|] [，。；：？！（）、]|[，。；：？！（）、] [^|·]`),
}

// Chinese text has a space beside Latin words and numbers, and full-width punctuation.
func TestDocs_ChineseIsSetAlike(t *testing.T) {
	for doc, text := range allPages(t) {
		if !strings.HasSuffix(doc, ".zh-CN.md") {
			continue
		}
		for _, fault := range faultsOfSetting(text) {
			t.Errorf("%s:%s", doc, fault)
		}
	}
}

func faultsOfSetting(text string) []string {
	var faults []string
	for i, line := range strings.Split(proseOf(text), "\n") {
		for what, pattern := range wrongSetting {
			if m := pattern.FindString(line); m != "" {
				faults = append(faults, fmt.Sprintf("%d: %s: %q in %s", i+1, what, m, line))
			}
		}
	}
	return faults
}

// proseOf empties a text's lines of code and shows links by their text alone.
func proseOf(text string) string {
	lines, fenced := strings.Split(text, "\n"), false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimLeft(line, " "), "```")
		fenced = fenced != fence
		if fenced || fence || strings.HasPrefix(line, "  ") {
			lines[i] = ""
			continue
		}
		line = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(consoleNames.ReplaceAllString(line, "名称"), "$1")
		line = strings.ReplaceAll(line, "**", "")
		lines[i] = codeSpan.ReplaceAllString(line, "`x`")
	}
	return strings.Join(lines, "\n")
}

// What the typesetting is held to is found, and what is right is not.
func TestDocs_ChineseIsSetAlikeFindsFaults(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		if got := faultsOfSetting(text); len(got) > 0 != want {
			t.Errorf("%s: %q", text, got)
		}
	}
	f("在 Kubernetes 中，`a`、**B** 和 [c](d) 有 3 个：“授权事件接收URL”（必填）。", false)
	f("```sh\n在x中,\n```\n  缩进text", false)
	f("| 列 | `x`，`y` |", false)
	f("在Kubernetes 中", true)
	f("在 Kubernetes中", true)
	f("在`a` 中", true)
	f("有 [3](x)个", true)
	f("中文,中文", true)
	f("中文 (括号)", true)
	f("中文：", false)
	f("中文:", true)
	f("中文 。", true)
	f("中文， 中文", true)
}
