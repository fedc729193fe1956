package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chineseOf is where the Chinese version of a document stands.
func chineseOf(doc string) string { return strings.TrimSuffix(doc, ".md") + ".zh-CN.md" }

// inChinese lists the documents that app developers and operators read, which are in Chinese too.
func inChinese(t *testing.T) []string {
	t.Helper()
	docs := []string{
		"README.md", "docs/errors.md", "docs/authorize.md", "docs/faq.md", "docs/migration.md",
		"docs/deploy.md", "docs/operations.md", "docs/runbook.md", "docs/security.md", "docs/install.md",
	}
	guides, err := filepath.Glob("docs/sdk/*[a-zE].md")
	if err != nil || len(guides) < 10 {
		t.Fatalf("%d guides: %v", len(guides), err)
	}
	return append(docs, guides...)
}

// Both languages of a document have the same headings, tables, code, lists and links, and
// name the same things.
func TestDocs_LanguagesAgree(t *testing.T) {
	docs := inChinese(t)
	chinese, err := filepath.Glob("docs/*.zh-CN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range chinese { // any other one that somebody has added
		docs = append(docs, strings.TrimSuffix(doc, ".zh-CN.md")+".md")
	}
	slices.Sort(docs)
	for _, doc := range slices.Compact(docs) {
		other := chineseOf(doc)
		if d := cmp.Diff(outlineOf(doc, readText(t, doc)), outlineOf(other, readText(t, other))); d != "" {
			t.Errorf("-%s +%s:\n%s", doc, other, d)
		}
	}
}

// What leads to a section of these pages, as findings and alerts do, leads to it in Chinese too.
func TestDocs_LanguagesHaveOneSetOfAnchors(t *testing.T) {
	for _, doc := range []string{"docs/operations.md", "docs/runbook.md"} {
		chinese := anchorsOf(readText(t, chineseOf(doc)))
		for _, heading := range found(`(?m)^(##+ .+)$`, readText(t, doc)) {
			named := strings.HasPrefix(heading, "### ") || doc == "docs/operations.md" // the runbook's chapters are no alerts
			if anchor := anchorsOf(heading)[0]; named && !slices.Contains(chinese, anchor) {
				t.Errorf("%s has no anchor %s", chineseOf(doc), anchor)
			}
		}
	}
}

// outline collects what the languages of a document have in common.
type outline struct {
	doc   string
	facts []string
	// Links and names in code may come in another order within a section.
	links, names []string
	fenced, item bool
}

var (
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	linkTarget = regexp.MustCompile(`\]\(([^)]+)\)`)
	listItem   = regexp.MustCompile(`^ *(-|\d+\.) `)
	comment    = regexp.MustCompile(`(^|\s+)(#|//) .*$`)
)

// outlineOf returns in order what a document's other language must have as well. A line's
// comment in code may be translated.
func outlineOf(doc, text string) []string {
	o := outline{doc: doc}
	for line := range strings.Lines(text) {
		o.add(strings.TrimRight(line, "\n"))
	}
	o.endSection()
	return o.facts
}

func (o *outline) add(line string) {
	if line != "" && line[0] != ' ' && !o.fenced { // an item goes on in indented lines
		o.item = listItem.MatchString(line)
	}
	switch level := len(line) - len(strings.TrimLeft(line, "#")); {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "```"):
		o.fenced = !o.fenced
		o.fact("code %s", line)
	case o.fenced, strings.HasPrefix(line, "  ") && !o.item: // in text for a terminal
		o.fact("code %s", strings.TrimRight(comment.ReplaceAllString(line, " #"), " "))
	case line == otherLanguage(o.doc):
		o.fact("link to the other language")
	case level > 0:
		o.endSection()
		o.fact("heading %d %q", level, namesIn(line))
	case strings.HasPrefix(line, "|"):
		o.row(line)
	default:
		if listItem.MatchString(line) {
			o.fact("item of a list")
		}
		o.names = append(o.names, namesIn(line)...)
		o.links = append(o.links, o.linksIn(line)...)
	}
}

// row notes a table's row: the names and links in each of its cells.
func (o *outline) row(line string) {
	cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "| "), `\|`, "\x00"), "|")
	for i, cell := range cells {
		cells[i] = fmt.Sprint(namesIn(cell), o.linksIn(cell))
		if strings.Trim(cell, " -:") != "" && !strings.Contains(cell, "`") {
			cells[i] += " text"
		}
	}
	o.fact("row %s", strings.Join(cells, " | "))
}

func (o *outline) endSection() {
	slices.Sort(o.names)
	for _, name := range slices.Compact(o.names) { // one language may say it twice
		o.fact("name %s", name)
	}
	slices.Sort(o.links)
	for _, link := range o.links {
		o.fact("link %s", link)
	}
	o.links, o.names = nil, nil
}

func (o *outline) fact(format string, args ...any) {
	o.facts = append(o.facts, fmt.Sprintf(format, args...))
}

// namesIn returns what stands in backquotes, sorted.
func namesIn(line string) []string {
	var all []string
	for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return all
}

// linksIn returns where the links of line lead, by English path. A link into the wrong
// language says so.
func (o *outline) linksIn(line string) []string {
	var all []string
	chinese := strings.HasSuffix(o.doc, ".zh-CN.md")
	for _, m := range linkTarget.FindAllStringSubmatch(line, -1) {
		target, _, _ := strings.Cut(m[1], "#") // headings have other names
		english := strings.TrimSuffix(strings.TrimSuffix(target, ".md"), ".zh-CN") + path.Ext(target)
		_, err := os.Stat(filepath.Join(filepath.Dir(o.doc), chineseOf(english)))
		if both := err == nil && path.Ext(target) == ".md"; both && chinese != strings.HasSuffix(target, ".zh-CN.md") {
			english += " in the wrong language"
		}
		all = append(all, english)
	}
	return all
}

// otherLanguage is the line that leads to the same document in the other language.
func otherLanguage(doc string) string {
	base := path.Base(doc)
	if english, ok := strings.CutSuffix(base, ".zh-CN.md"); ok {
		return "[English](" + english + ".md)"
	}
	return "[简体中文](" + chineseOf(base) + ")"
}

// Each sort of difference between two languages is found, and a translation has none.
func TestDocs_LanguagesAgreeFindsDifferences(t *testing.T) {
	const english = "# Title\n\n[简体中文](errors.zh-CN.md)\n\nSee `a` and `b` in [the guide](sdk/go.md).\n\n## Part\n\n1. One\n2. Two\n   more `c`\n\n   ```yaml\n   a: b\n   ```\n\n   at the end `e`\n\n" +
		"| code | cause |\n| --- | --- |\n| `x` | Bad `y`. |\n\n```sh\nwxsidecar serve   # runs\nhttp://a//b\n```\n\n  indented\n"
	translated := strings.NewReplacer("Title", "标题", "[简体中文](errors.zh-CN.md)", "[English](errors.md)", "See `a` and `b` in [the guide](sdk/go.md)",
		"[指南](sdk/go.zh-CN.md)中的 `b` 和 `a`", "more `c`", "以及 `c`", "at the end `e`", "最后 `e`", "| code | cause |", "| 代码 | 原因 |", "Bad `y`.", "`y` 有误。", "# runs", "# 运行").Replace(english)
	outline := func(text string) []string { return outlineOf("docs/errors.zh-CN.md", text) }
	want := outlineOf("docs/errors.md", english)
	if d := cmp.Diff(want, outline(translated)); d != "" {
		t.Errorf("a translation differs:\n%s", d)
	}
	for what, change := range map[string][2]string{
		"a heading is missing":        {"## Part\n", ""},
		"a heading's level":           {"## Part", "### Part"},
		"a row is missing":            {"| `x` | `y` 有误。 |\n", ""},
		"a column is missing":         {"| `x` | `y` 有误。 |", "| `x` |"},
		"a cell is empty":             {"| 代码 | 原因 |", "| 代码 |  |"},
		"a cell's name":               {"| `x` |", "| `z` |"},
		"a cell's name is missing":    {"`y` 有误", "y 有误"},
		"a command":                   {"wxsidecar serve", "wxsidecar  serve"},
		"a line of code is missing":   {"http://a//b\n", ""},
		"code behind slashes":         {"http://a//b", "http://a//c"},
		"a comment is missing":        {"   # 运行", ""},
		"a block's language":          {"```sh", "```"},
		"indented text":               {"  indented", "  intended"},
		"an item is missing":          {"2. Two\n   ", "   "},
		"a name":                      {"`b`", "`d`"},
		"a name is missing":           {"和 `a`", ""},
		"a name in an item":           {"`c`", "c"},
		"a name further down in it":   {"`e`", "e"},
		"code in an item":             {"a: b", "a: c"},
		"a link is missing":           {"[指南](sdk/go.zh-CN.md)", "指南"},
		"a link leads elsewhere":      {"sdk/go.zh-CN.md", "sdk/java.zh-CN.md"},
		"a link into English":         {"sdk/go.zh-CN.md", "sdk/go.md"},
		"no link to the other one":    {"[English](errors.md)\n", "\n"},
		"a link to another's English": {"[English](errors.md)", "[English](faq.md)"},
	} {
		changed := strings.Replace(translated, change[0], change[1], 1)
		if changed == translated {
			t.Errorf("%s: nothing was changed", what)
		}
		if cmp.Equal(want, outline(changed)) {
			t.Errorf("%s: not found", what)
		}
	}
}
