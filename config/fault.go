package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Origin is where a value of the configuration stands. The zero Origin is the
// defaults.
type Origin struct {
	rank rank
	// name is the file's path, the variable's name or the flag's.
	name      string
	line, col int
}

// FromFlag is the origin of what a flag says; name begins with two dashes.
func FromFlag(name string) Origin { return Origin{rank: fromFlag, name: name} }

// FromVariable is the origin of what an environment variable says.
func FromVariable(name string) Origin { return Origin{rank: fromEnv, name: name} }

// rank orders the sources by precedence.
type rank uint8

const (
	fromDefault rank = iota
	fromFile
	fromEnv
	fromFlag
)

// String says where in words that lead a reader to the place.
func (o Origin) String() string {
	switch o.rank {
	case fromFile:
		if o.line == 0 {
			return o.name
		}
		return fmt.Sprintf("%s:%d", o.name, o.line)
	case fromEnv:
		return "environment " + o.name
	case fromFlag:
		return "flag " + o.name
	default:
		return "configuration"
	}
}

// fault is one thing that is wrong with the configuration.
type fault struct {
	at  Origin
	key string
	// value is shown in quotes; empty shows none. It is never a secret's.
	value  string
	reason string
	hint   string
}

// Hints of faults that can befall many keys.
const (
	defaultHint    = "leave the key out for its default"
	unreadableHint = "compare the path, and let the user of the process read it"
)

// String is the fault's line in the report.
func (f fault) String() string {
	var b strings.Builder
	b.WriteString(f.at.String() + ": ")
	if f.key != "" {
		b.WriteString(f.key + ": ")
	}
	if f.value != "" {
		fmt.Fprintf(&b, "value %s: ", quote(f.value))
	}
	b.WriteString(f.reason)
	if f.hint != "" {
		b.WriteString("; " + f.hint)
	}
	return b.String()
}

// quote returns the value in quotes, cut to a length that fits a line.
func quote(value string) string {
	const most = 80
	if r := []rune(value); len(r) > most {
		value = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", value)
}

// FaultsError is everything that is wrong with a configuration, in the order of
// precedence and of lines.
type FaultsError struct{ faults []fault }

// Error is the whole report, a line for each fault and one that counts them.
func (e *FaultsError) Error() string {
	var b strings.Builder
	for _, f := range e.faults {
		b.WriteString(f.String() + "\n")
	}
	b.WriteString("the configuration has " + plural(len(e.faults), "fault"))
	return b.String()
}

// Faults returns a line for each fault.
func (e *FaultsError) Faults() []string {
	lines := make([]string, len(e.faults))
	for i, f := range e.faults {
		lines[i] = f.String()
	}
	return lines
}

func newFaultsError(faults []fault) *FaultsError {
	sorted := slices.Clone(faults)
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		return cmp.Or(
			cmp.Compare(a.at.rank, b.at.rank), cmp.Compare(a.at.line, b.at.line),
			cmp.Compare(a.at.col, b.at.col), cmp.Compare(a.at.name, b.at.name),
		) < 0
	})
	return &FaultsError{sorted}
}

// plural returns "1 fault" or "2 faults".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
