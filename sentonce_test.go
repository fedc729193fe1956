//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	onceCalls   = 5_000 // over each of plain TCP and TLS
	onceClients = 16
)

// onceTold is what the app heard of one call.
type onceTold struct {
	status     int
	fault      string // X-Wxsidecar-Error
	retryAfter string
	errcode    int
	errmsg     string
	id         string // that the answer names
	err        error
}

// TestSentOnce sends calls of which each has an id through the real program to an
// upstream whose connections die at every point. No call may come whole to the upstream
// twice, and each failure that the app sees must say what is known of it.
func TestSentOnce(t *testing.T) {
	binary, _ := buildProgram(t)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			up := newDyingUpstream(t, scheme == "https")
			apps := startForOnce(t, binary, up)
			told := callOnce(apps)
			up.close()
			counts := map[string]int{}
			for id, one := range told {
				kind, err := up.judge(id, one)
				if err != nil {
					t.Errorf("call %s: %v; the app heard %+v", id, err, one)
				}
				counts[kind]++
			}
			for _, kind := range slices.Sorted(maps.Keys(counts)) {
				t.Logf("%s: %d", kind, counts[kind])
			}
			wanted := []string{"answered", "upstream_timeout", "answer_broken"}
			if scheme == "https" {
				wanted = append(wanted, "upstream_unreachable") // a handshake that fails
			}
			for _, kind := range wanted {
				if counts[kind] == 0 {
					t.Errorf("no call ended as %s", kind)
				}
			}
		})
	}
}

// judge compares what the app heard of a call with what the upstream saw of it.
func (u *dyingUpstream) judge(id string, told onceTold) (kind string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	began, whole := u.began[id], u.whole[id]
	uncertain := told.status == http.StatusGatewayTimeout && told.errcode == 61450 && told.retryAfter == "" &&
		strings.Contains(told.errmsg, "may have been carried out")
	switch {
	case whole > 1:
		return "twice", fmt.Errorf("it came whole %d times", whole)
	case told.err != nil:
		return "silence", fmt.Errorf("the app heard nothing")
	case told.fault == "" && told.id != id:
		return "mixed up", fmt.Errorf("the answer is another call's")
	case told.fault == "":
		return "answered", nil
	case told.fault == "upstream_unreachable" && told.status == http.StatusBadGateway && told.errcode == -1:
		if began > 0 {
			return told.fault, fmt.Errorf("a part of it came to the upstream %d times", began)
		}
		return told.fault, nil
	case (told.fault == "answer_broken" || told.fault == "upstream_timeout") && uncertain:
		return told.fault, nil
	default:
		return told.fault, fmt.Errorf("this is not known of it: began %d times, whole %d times", began, whole)
	}
}

// callOnce makes the calls and returns what the app heard of each.
func callOnce(apps string) map[string]onceTold {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: onceClients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	told := map[string]onceTold{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for worker := range onceClients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for n := worker; n < onceCalls; n += onceClients {
				id := fmt.Sprintf("%08d", n)
				one := callWithID(client, apps, id, random)
				mu.Lock()
				told[id] = one
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return told
}

func callWithID(client *http.Client, apps, id string, random *rand.Rand) onceTold {
	sizes := []int{0, 1, 500, 500, 3000, 3000, 3000, 40_000, 150_000, 400_000}
	body := io.Reader(bytes.NewReader(make([]byte, sizes[random.IntN(len(sizes))])))
	if random.IntN(20) == 0 {
		body = io.MultiReader(body) // chunked
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+apps+"/cgi-bin/once/"+id, body)
	if err != nil {
		return onceTold{err: err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return onceTold{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	one := onceTold{status: resp.StatusCode, fault: resp.Header.Get("X-Wxsidecar-Error"), retryAfter: resp.Header.Get("Retry-After")}
	var answer struct {
		Errcode    int
		Errmsg, ID string
	}
	one.err = json.NewDecoder(resp.Body).Decode(&answer)
	one.errcode, one.errmsg, one.id = answer.Errcode, answer.Errmsg, answer.ID
	return one
}

// startForOnce starts the program and returns the address for apps.
func startForOnce(t *testing.T, binary string, up *dyingUpstream) (apps string) {
	t.Helper()
	dir := t.TempDir()
	env := []string{"WXSIDECAR_UPSTREAM_TIMEOUT=1s", "WXSIDECAR_UPSTREAM_URL=" + up.url}
	if up.root != nil {
		file := filepath.Join(dir, "root.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.root.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, "WXSIDECAR_UPSTREAM_CA_FILE="+file)
	}
	_, apps = startProgram(t, binary, dir, env)
	return apps
}
