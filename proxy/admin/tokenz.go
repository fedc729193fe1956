package admin

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/wxsidecar/wxsidecar/broker"
)

// tokenz shows what is missing; with ?verbose all, under the same status.
func (o MetricsOptions) tokenz(w http.ResponseWriter, r *http.Request) {
	missing := o.Status.Missing()
	status := http.StatusServiceUnavailable
	if len(missing) == 0 {
		status, missing = http.StatusOK, []broker.Missing{} // nil would be null
	}
	body := compactJSON(missing)
	if r.URL.Query().Has("verbose") {
		body = compactJSON(o.Status.Status())
	}
	reply(w, status, "application/json", body)
}

// compactJSON leaves <, > and & as they are: people read the reasons.
func compactJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // texts, numbers and times always encode
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
