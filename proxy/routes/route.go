package routes

import "strings"

// Kind says whose token a path takes. The zero Kind is Authorizer, the default.
type Kind uint8

// The kinds of path.
const (
	// Authorizer: the token of an authorizer or of an own account.
	Authorizer Kind = iota
	// Component: the token of the third-party platform.
	Component
	// Either: the authorizer's token if one is named, else the component's.
	Either
	// None: no token; most of these carry an app secret instead.
	None
	// User: the token of an OAuth user, which belongs to the app and passes
	// untouched.
	User
)

var kindNames = [...]string{"authorizer", "component", "either", "none", "user"}

// String returns the kind's name as it stands in routes.tsv.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// The names under which WeChat takes a token in the query.
const (
	AccessToken          = "access_token"
	ComponentAccessToken = "component_access_token"
)

// Other is the family of every path that the catalogue does not know, so that an
// app cannot make metric labels at will.
const Other = "other"

// Route is how one path, or a whole prefix, is treated. Routes are made once and
// never change; they are safe for concurrent use.
type Route struct {
	// Pattern is the path, or the path with ?action= and a name, or the prefix
	// followed by "*", or "*" for the default.
	Pattern string
	// Kind is whose token the path takes.
	Kind Kind
	// Param is the name that our token gets: [AccessToken] or
	// [ComponentAccessToken]; empty for None and User.
	Param string
	// Family groups paths for metrics: the first two segments of a catalogued
	// path, else Other. FamilyID is its index in [Table.Families].
	Family   string
	FamilyID int
	// ID is the route's index among the [Table.Len] of its table.
	ID int
	// Catalogued says that the path stands in the catalogue itself.
	Catalogued bool
	// Doc is the address of the page that documents the path, or empty.
	Doc string
	// Why says in one sentence which rule made the route.
	Why string

	// actions are the rows of the same path that stand for one action each.
	actions []action
}

// action is how a path is treated when its query says action=name.
type action struct {
	name  string
	route *Route
}

// String describes the treatment of the route for people.
func (r *Route) String() string {
	var b strings.Builder
	b.WriteString(r.Pattern + ": " + r.treatment() + "\n  why: " + r.Why + "\n  family: " + r.Family)
	for _, a := range r.actions {
		b.WriteString("\n  with action=" + a.name + ": " + a.route.treatment())
	}
	if r.Doc != "" {
		b.WriteString("\n  documentation: " + r.Doc)
	}
	return b.String()
}

func (r *Route) treatment() string {
	switch r.Kind {
	case Component:
		if r.Catalogued {
			return "the component's token in " + r.Param
		}
		return "the component's token in " + r.Param + ", or under the name that the caller uses"
	case Either:
		return "the account's token if the call names an account, else the component's, in " + r.Param
	case None:
		return "no token is added"
	case User:
		return "the user's token passes untouched"
	default:
		return "the account's token in " + r.Param
	}
}
