package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// That the store could not be read for one page is told, also where it answers for the next.
func TestAccounts_StoreErrorOfAnyPage(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"":  `{"accounts":[{"kind":"authorizer","appid":"wx1","state":"live"}],"next":"x","store_error":"the disk is gone"}`,
		"x": `{"accounts":[{"kind":"authorizer","appid":"wx2","state":"live"}]}`,
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(pages[r.URL.Query().Get("cursor")]))
	}))
	t.Cleanup(api.Close)
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"accounts", "--limit", "0", "--admin", strings.TrimPrefix(api.URL, "http://")}, nil, stdio{&out, &errs})
	if code != 0 || !strings.Contains(out.String(), "wx1") || !strings.Contains(out.String(), "wx2") {
		t.Errorf("%d: %s%s", code, out.String(), errs.String())
	}
	if n := strings.Count(errs.String(), "warning: the disk is gone\n"); n != 1 {
		t.Errorf("the store's error is told %d times: %s", n, errs.String())
	}
}
