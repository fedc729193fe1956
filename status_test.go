package main

import (
	"bytes"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// What is wrong is told with whose it is, if it is not the sidecar's own.
func TestStatus_NamesWhoseFindingsAre(t *testing.T) {
	f := func(one admin.Finding, want string) {
		t.Helper()
		var out bytes.Buffer
		one.Severity, one.Code, one.Message, one.Cure = admin.Warning, "late", "why", "wait"
		printFinding(&out, &one)
		if got := out.String(); got != want+"\n    do: wait\n" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(admin.Finding{}, "warning: late: why")
	f(admin.Finding{Kind: "account", AppID: "wxo"}, "warning: late account wxo: why")
	f(admin.Finding{Kind: "authorizer", Component: "wxc", AppIDs: []string{"wxa"}, Count: 1}, "warning: late authorizer wxa of wxc: why")
	f(admin.Finding{Kind: "authorizer", Component: "wxc", AppIDs: []string{"wxa", "wxb"}, Count: 7}, "warning: late authorizer wxa, wxb, … of wxc: why")
}
