package admin

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/wxsidecar/wxsidecar/broker"
)

// sharedStore is what ?verbose shows of a store that sidecars share, behind the keys.
type sharedStore struct {
	Kind string `json:"kind"`
	broker.CoordinationStatus
}

// verbose returns what ?verbose shows.
func (o MetricsOptions) verbose() []any {
	all := []any{}
	for _, s := range o.Status.Status() {
		all = append(all, s)
	}
	if c, ok := o.Status.Coordination(); ok {
		c.Name, c.Others = "", nil // which hosts there are is for operators
		all = append(all, sharedStore{"store", c})
	}
	return all
}

// tokenz shows what is missing; with ?verbose all, under the same status.
func (o MetricsOptions) tokenz(w http.ResponseWriter, r *http.Request) {
	missing := o.Status.Missing()
	status := http.StatusServiceUnavailable
	if len(missing) == 0 {
		status, missing = http.StatusOK, []broker.Missing{} // nil would be null
	}
	body := compactJSON(missing)
	if r.URL.Query().Has("verbose") {
		body = compactJSON(o.verbose())
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
