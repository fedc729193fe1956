package push_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func TestRecent(t *testing.T) {
	r, a := newMessageRig(t)
	r.wantSuccess(ticketPush(t))
	unauthorized := "<xml><AppId>" + component + "</AppId><CreateTime>1800000000</CreateTime><InfoType>unauthorized</InfoType><AuthorizerAppid>" +
		merchant + "</AuthorizerAppid></xml>"
	r.wantSuccess(sealed(t, token, aesKey, component, unauthorized, start))
	r.handler.set(func() { r.handler.now = start.Add(time.Second) })
	r.wantSuccess(ticketPush(t))
	r.wantStatus(changed(ticketPush(t), "nonce", "2"), http.StatusForbidden) // strangers leave no record
	a.set("", errors.New("away"))
	r.wantSuccess(message(t, accountPath, account, clickXML))
	r.wantSuccess(message(t, messagePath, component, textXML(1)))
	r.wantSuccess(message(t, messagePath, component, textXML(1)))
	r.wantRecords(r.server.RecentEvents(),
		push.Record{Time: start.Add(time.Second), Component: component, Type: "component_verify_ticket", Result: "repeated"},
		push.Record{Time: start, Component: component, AppID: merchant, Type: "unauthorized", Result: "accepted"},
		push.Record{Time: start, Component: component, Type: "component_verify_ticket", Result: "accepted"},
	)
	r.wantRecords(r.server.RecentMessages(),
		push.Record{Time: start.Add(time.Second), Component: component, AppID: merchant, Type: "text", Result: "repeated"},
		push.Record{Time: start.Add(time.Second), Component: component, AppID: merchant, Type: "text", Result: "failed"},
		push.Record{Time: start.Add(time.Second), AppID: account, Type: "event", Event: "CLICK", Result: "failed"},
	)
}

// wantRecords compares all but the IDs, which the log must have.
func (r *rig) wantRecords(got []push.Record, want ...push.Record) {
	r.t.Helper()
	for i, record := range got {
		if record.ID == "" || !strings.Contains(r.log.String(), record.ID) {
			r.t.Errorf("record %d has the ID %q, which the log has not", i, record.ID)
		}
		got[i].ID = ""
	}
	if d := cmp.Diff(want, got); d != "" {
		r.t.Errorf("records (-want +got):\n%s", d)
	}
}

// The last 500 are kept.
func TestRecent_IsBounded(t *testing.T) {
	r, _ := newMessageRig(t)
	for i := range 1234 {
		r.handler.set(func() { r.handler.now = start.Add(time.Duration(i) * time.Millisecond) })
		r.do(plainMessage(textXML(i)))
	}
	got := r.server.RecentMessages()
	if len(got) != 500 {
		t.Fatalf("%d records; want 500", len(got))
	}
	for i, record := range got {
		if want := start.Add(time.Duration(1233-i) * time.Millisecond); !record.Time.Equal(want) {
			t.Fatalf("record %d is of %s; want %s", i, record.Time, want)
		}
	}
}
