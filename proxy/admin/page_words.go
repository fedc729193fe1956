package admin

import "fmt"

// pageWords are the texts of the page in one language.
type pageWords struct {
	// tag is the language, for the lang attribute, and other the name of the other one.
	tag, other string
	// Of the page as a whole. refreshed and lost are for the script.
	title, asOf, refresh, skip, lost   string
	wrong, allWell                     string
	criticals, warnings, notes         string // take a number
	severities                         map[string]string
	since, whatToDo, runbook           string
	runbookFile                        string // in docs, in the language
	ago, ahead                         string // take a span
	seconds, minutes, hours, days      string // take a number
	failed, linkTitle, program         string
	did                                map[string]string // by the last part of an operation's path
	kinds, states                      map[string]string
	findings                           map[string]findingWords // by cause
	parts                              map[string]string       // of findings' details, by code
	merchants, blocked                 string                  // take a number
	summary                            string                  // takes two numbers: merchants in use, those that live
	components, noComponents           string
	componentHeads                     []string
	accounts, noAccounts, noneSoFar    string
	accountHeads                       []string
	searchFor, state, find, first      string
	next, anyState, trouble            string
	ownAccount, of, nextCall, dies     string
	displaced, unsaved, renewingNow    string
	waitsFor, noTicket                 string
	listFailed, reading, listPending   string
	hosts, noHosts, healthy, out       string
	triedAgain, failing                string
	hostHeads                          []string
	events, messages, noPushes         string
	pushHeads                          []string
	deadLetters, noDeadLetters         string
	eventsWait                         string // takes a number
	deadHeads                          []string
	store, place, health, answers      string
	away, unsavedKeys, movedAside      string
	replicas, alone, role, delivers    string
	standsBy, seen, neverSeen          string
	onStore, thisOne, present, gone    string
	lastSeen, deliversEvents           string
	replicaHeads                       []string
	sharedCounts                       [4]string // contested, fenced, solo, repaired
	sidecar, version, started          string
	listener, skew, unmeasured         string
	lastReload, applied, refused       string
	renew, askTickets, link, readList  string
	tryAgain, reload                   string
	redeliver, redeliverAll, languages string
}

// findingWords are a finding's title and what to do. English has its cure from the finding.
type findingWords struct{ title, cure string }

// count puts a number or a span into a text.
func (w *pageWords) count(text string, n any) string { return fmt.Sprintf(text, n) }
