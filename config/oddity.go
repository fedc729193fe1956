package config

import (
	"reflect"
	"strings"
)

// oddity is a value that its key hardly means: what shells and templates leave of it.
type oddity uint8

const (
	_ oddity = iota
	// quoted stands in quotes that are part of the value.
	quoted
	// unexpanded has a variable in it, and is no secret.
	unexpanded
)

// note remembers that the value of key is odd, if it is.
func (d *decoder) note(key string, t reflect.Type, value string) {
	switch {
	case inQuotes(value):
		d.odd[key] = quoted
	case t != secretType && unexpandedForm.MatchString(value):
		d.odd[key] = unexpanded
	}
}

// explainOddities gives the cure to each fault of an odd value.
func (l *Loaded) explainOddities() {
	for i, f := range l.faults {
		switch max(l.odd[f.key], l.odd[f.key+"[0]"]) { // the latter for lists with one element
		case quoted:
			l.faults[i].hint = quotesHint
		case unexpanded:
			key := f.key
			if strings.HasSuffix(key, "]") { // an element of a list, which one variable gives as a whole
				key = key[:strings.LastIndex(key, "[")]
			}
			l.faults[i].hint = "variables are expanded in secrets only: leave the key out and set " + variableOfPath(key)
		}
	}
}
