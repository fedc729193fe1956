package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is what stands between two fences of a document: commands (```sh), or a file that commands
// need. Invisible comments right above it say what is special about it, a line each:
//
//	<!-- not run: REASON -->        its commands cannot be run here
//	<!-- with: SET-UP -->           what has to be there before; testdata/commands/world.sh has them
//	<!-- stays, once it says: TEXT -->    its last command runs on, and is there for the blocks that follow
//	<!-- Ctrl-C, once it says: TEXT -->   its last command is ended so
//	<!-- says: TEXT -->             what else its output must hold
//	<!-- file: NAME -->             it is no command, but what the reader has in a file of that name
type block struct {
	line  int
	text  string
	marks map[string]string
}

// marks are the words with which a mark may begin.
var marks = []string{"not run", "with", "stays, once it says", "Ctrl-C, once it says", "says", "file"}

// commandBlocks returns the blocks of a document that are commands, or files for them.
func commandBlocks(text string) (blocks []block, faults []string) {
	fence := regexp.MustCompile("(?ms)((?:^<!-- [^\n]* -->\n)*)^```(\\w+)\n(.*?)^```$")
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		b := block{line: 1 + strings.Count(text[:m[4]], "\n"), text: text[m[6]:m[7]], marks: map[string]string{}}
		for _, mark := range found("<!-- (.*) -->\n", text[m[2]:m[3]]) {
			word, value, ok := strings.Cut(mark, ": ")
			if !ok || !slices.Contains(marks, word) || strings.TrimSpace(value) == "" {
				faults = append(faults, fmt.Sprintf("line %d: <!-- %s --> is not one of %q with a text", b.line, mark, marks))
			}
			b.marks[word] = value
		}
		if text[m[4]:m[5]] == "sh" || b.marks["file"] != "" {
			blocks = append(blocks, b)
		}
	}
	return blocks, faults
}

// plain returns the commands of a block without comments, which differ between languages.
func (b block) plain() string {
	return fmt.Sprint(b.marks) + regexp.MustCompile(`(?m)\s+#.*$`).ReplaceAllString(b.text, "")
}

// Each block of commands is run by TestCommands, or says why it is not.
func TestDocs_CommandMarks(t *testing.T) {
	run, left := 0, 0
	for doc, text := range allPages(t) {
		blocks, faults := commandBlocks(text)
		for _, fault := range faults {
			t.Errorf("%s: %s", doc, fault)
		}
		if fences := strings.Count(text, "```sh\n"); fences > len(blocks) {
			t.Errorf("%s: %d of %d blocks were read: a fence stands amid a line", doc, len(blocks), fences)
		}
		for _, b := range blocks {
			if reason := b.marks["not run"]; reason != "" {
				t.Logf("%s:%d is not run: %s", doc, b.line, reason)
				left++
				continue
			}
			run++
		}
	}
	t.Logf("%d blocks are run, %d are not", run, left)
	if run < 30 {
		t.Errorf("only %d blocks are run", run)
	}
}

func TestCommandBlocks_Faults(t *testing.T) {
	f := func(mark string, want int) {
		t.Helper()
		if _, faults := commandBlocks("text\n\n" + mark + "\n```sh\nls\n```\n"); len(faults) != want {
			t.Errorf("%s: %q", mark, faults)
		}
	}
	f("", 0)
	f("<!-- not run: it needs a Docker engine -->", 0)
	f("<!-- not run:  -->", 1)
	f("<!-- not run -->", 1)
	f("<!-- skipped: no time -->", 1)
}
