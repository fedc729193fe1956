package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

type pushMetrics struct {
	pushes, messages *prometheus.CounterVec
	alone            prometheus.Counter
}

// pushInfoTypes are the InfoTypes that WeChat documents. The label has these, other
// and none, whatever is pushed.
var pushInfoTypes = []string{
	"component_verify_ticket", "authorized", "updateauthorized", "unauthorized",
	"notify_third_fasteregister", "notify_third_fastregisterbetaapp", "notify_third_fastverifybetaapp",
	"notify_3rd_wxa_auth", "notify_3rd_wxa_wxverify",
	"notify_icpfiling_verify_result", "notify_apply_icpfiling_result",
	"order_path_apply_result_notify", "order_path_audit_result_notify",
}

// Results of pushes that were read, and causes of the refusal of others.
var (
	pushResults = []string{"accepted", "repeated", "failed"}
	pushCauses  = []string{
		"busy", "cut_off", "empty", "envelope", "foreign_appid", "forged", "frame", "not_a_push", "not_base64",
		"outside_window", "padding", "panic", "parameters", "too_large", "truncated", "unknown_component",
		"unknown_path", "unreadable",
	}
)

func newPushMetrics(r *prometheus.Registry) pushMetrics {
	m := pushMetrics{
		pushes: newCounter(r, "pushes_total",
			"Pushes from WeChat by InfoType (other for unknown ones, none where it could not be read) and result.", "info_type", "result"),
		messages: newMessagesCounter(r),
		alone: newCounter(r, "messages_alone_total",
			"Messages handled without asking the other sidecars, since the store that they share did not answer.").WithLabelValues(),
	}
	for _, infoType := range append(slices.Clone(pushInfoTypes), "other") {
		for _, result := range pushResults {
			m.pushes.WithLabelValues(infoType, result)
		}
	}
	for _, cause := range pushCauses {
		m.pushes.WithLabelValues("none", cause)
	}
	return m
}

// Push counts one push. infoType is what WeChat wrote, in lower case, or "" where
// it could not be read; result is accepted, repeated, failed, or the cause of a
// refusal.
func (m *Metrics) Push(infoType, result string) {
	if m == nil {
		return
	}
	switch {
	case infoType == "":
		infoType = "none"
	case !slices.Contains(pushInfoTypes, infoType):
		infoType = "other"
	}
	m.push.pushes.WithLabelValues(infoType, result).Inc()
}

var (
	// msgTypes are the MsgTypes that WeChat documents, and echostr for its check of a URL.
	msgTypes = []string{
		"text", "image", "voice", "video", "shortvideo", "location", "link", "miniprogrampage", "event", "echostr",
	}
	messageResults = []string{"replied", "no_reply", "no_target", "bad_reply", "late", "failed", "busy", "repeated"}
)

func newMessagesCounter(r *prometheus.Registry) *prometheus.CounterVec {
	c := newCounter(r, "messages_total", "Messages and events of accounts' users by MsgType (other for unknown ones) and result.", "msg_type", "result")
	for _, msgType := range append(slices.Clone(msgTypes), other) {
		for _, result := range messageResults {
			c.WithLabelValues(msgType, result)
		}
	}
	return c
}

// Message counts one verified message. msgType is what WeChat wrote; result is replied,
// no_reply, no_target, bad_reply, late, failed, busy or repeated.
func (m *Metrics) Message(msgType, result string) {
	if m == nil {
		return
	}
	if !slices.Contains(msgTypes, msgType) {
		msgType = other
	}
	m.push.messages.WithLabelValues(msgType, result).Inc()
}

// MessageAlone counts one message that was handled without asking the other sidecars, since the
// store that they share did not answer.
func (m *Metrics) MessageAlone() {
	if m == nil {
		return
	}
	m.push.alone.Inc()
}
