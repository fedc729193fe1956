package admin

import (
	"time"

	"github.com/a-h/templ"
)

// What is used in several places of the page is no part of any of them: a copy in each would be
// tens of kilobytes.

//go:noinline
func rowsOf(v *view, s section) templ.Component { return rows(v, s) }

//go:noinline
func cellOf(v *view, c cell, id string) templ.Component { return inCell(v, c, id) }

//go:noinline
func formOf(v *view, b button, id string) templ.Component { return form(v, b, id) }

//go:noinline
func linkOf(to, text string) templ.Component { return link(to, text) }

//go:noinline
func momentOf(v *view, t time.Time) templ.Component { return moment(v, t) }
