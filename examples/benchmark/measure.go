package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// load is one kind of traffic.
type load struct {
	name        string
	connections int
	script      string
}

// result is what one contender did under one load.
type result struct {
	perSecond float64
	cpu       time.Duration // of one call
	p50, p99  time.Duration
	resident  int64 // bytes, at the end
}

// errNoCalls says that the time was too short: connections over TLS take theirs.
var errNoCalls = errors.New("no calls")

// measure puts one load on one contender, and tries again where nothing was answered.
func measure(s *stage, c contender, l load, length time.Duration) (r result, err error) {
	for range 3 {
		if r, err = measureOnce(s, c, l, length); !errors.Is(err, errNoCalls) {
			break
		}
	}
	return r, err
}

func measureOnce(s *stage, c contender, l load, length time.Duration) (result, error) {
	args := []string{
		"-t1", "-c" + strconv.Itoa(l.connections), "-d" + strconv.Itoa(int(length.Seconds())) + "s", "--latency",
		"-H", "X-Wechat-Appid: " + appID,
	}
	if l.script != "" {
		args = append(args, "-s", filepath.Join(s.dir, l.script))
	}
	to := target(c.address, c.scheme)
	if c.scheme == "https" {
		to += "&access_token=" + token // what a proxy would add
	}
	before := spent(c.pid)
	out, err := exec.Command("wrk", append(args, to)...).CombinedOutput()
	after := spent(c.pid)
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	r, calls, err := readWrk(string(out))
	if err != nil {
		return result{}, err
	}
	r.cpu = (after - before) / time.Duration(calls)
	r.resident = resident(c.pid)
	return r, nil
}

var wrkLines = map[string]*regexp.Regexp{
	"calls": regexp.MustCompile(`(?m)^\s*(\d+) requests in`),
	"rate":  regexp.MustCompile(`(?m)^Requests/sec:\s*([\d.]+)`),
	"p50":   regexp.MustCompile(`(?m)^\s*50%\s+([\d.]+[a-z]+)`),
	"p99":   regexp.MustCompile(`(?m)^\s*99%\s+([\d.]+[a-z]+)`),
}

// readWrk reads what wrk printed. Any call that was not answered with 200 makes
// the measurement void.
func readWrk(out string) (r result, calls int64, err error) {
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		return r, 0, fmt.Errorf("not every call was answered well:\n%s", out)
	}
	found := map[string]string{}
	for name, line := range wrkLines {
		m := line.FindStringSubmatch(out)
		if m == nil {
			return r, 0, fmt.Errorf("no %s in what wrk printed:\n%s", name, out)
		}
		found[name] = m[1]
	}
	if calls, err = strconv.ParseInt(found["calls"], 10, 64); err != nil || calls == 0 {
		return r, 0, fmt.Errorf("%w:\n%s", errNoCalls, out)
	}
	if r.perSecond, err = strconv.ParseFloat(found["rate"], 64); err != nil {
		return r, 0, err
	}
	if r.p50, err = time.ParseDuration(found["p50"]); err != nil {
		return r, 0, err
	}
	r.p99, err = time.ParseDuration(found["p99"])
	return r, calls, err
}

// family returns a process and those below it.
func family(pid int) []int {
	all := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, text := range strings.Fields(string(children)) {
		if child, err := strconv.Atoi(text); err == nil {
			all = append(all, family(child)...)
		}
	}
	return all
}

// tick is the unit of /proc/pid/stat: Linux has a hundred a second.
const tick = 10 * time.Millisecond

// spent returns the processor time of a process and those below it.
func spent(pid int) time.Duration {
	var sum time.Duration
	for _, p := range family(pid) {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		// The name stands in brackets and may hold anything.
		fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
		for _, i := range []int{11, 12} { // user, system
			if i < len(fields) {
				n, _ := strconv.Atoi(fields[i])
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}

// resident returns the resident memory of a process and those below it.
func resident(pid int) int64 {
	var pages int64
	for _, p := range family(pid) {
		statm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p))
		if fields := strings.Fields(string(statm)); len(fields) > 1 {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			pages += n
		}
	}
	return pages * int64(os.Getpagesize())
}

// series is one contender's results under one load, a round each.
type series struct{ rounds []result }

func (s *series) add(r result) { s.rounds = append(s.rounds, r) }

// spread returns the first quartile, the median and the third quartile of what of returns
// for each round.
func spread(n int, of func(round int) float64) (q1, median, q3 float64) {
	values := make([]float64, n)
	for i := range values {
		values[i] = of(i)
	}
	slices.Sort(values)
	return values[n/4], (values[(n-1)/2] + values[n/2]) / 2, values[n-1-n/4]
}

func median(n int, of func(round int) float64) float64 {
	_, m, _ := spread(n, of)
	return m
}

// ratio is the median of ratios, with their quartiles.
func ratio(n int, of func(round int) float64) string {
	q1, m, q3 := spread(n, of)
	return fmt.Sprintf("%.2f [%.2f–%.2f]", m, q1, q3)
}

// printTable prints the medians, and the ratios to nginx of the same round.
func printTable(w io.Writer, name string, contenders []contender, all map[string]*series) {
	fmt.Fprintf(w, "\n%s\n", name)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcalls/s\t/nginx\tCPU µs\t/nginx\tp50 µs\tadded p50\t/nginx\tp99 µs\t/nginx\tRSS MiB\t")
	nginx, direct := all["nginx"].rounds, all["no proxy"].rounds
	for _, c := range contenders {
		r := all[c.name].rounds
		n := len(r)
		rate := func(i int) float64 { return r[i].perSecond }
		cpu := func(i int) float64 { return micro(r[i].cpu) }
		p50 := func(i int) float64 { return micro(r[i].p50) }
		added := func(i int) float64 { return micro(r[i].p50 - direct[i].p50) }
		p99 := func(i int) float64 { return micro(r[i].p99) }
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%.1f\t%s\t%.0f\t%.0f\t%.2f\t%.0f\t%s\t%.0f\t\n", c.name,
			median(n, rate), ratio(n, func(i int) float64 { return rate(i) / nginx[i].perSecond }),
			median(n, cpu), ratio(n, func(i int) float64 { return cpu(i) / micro(nginx[i].cpu) }),
			median(n, p50), median(n, added), median(n, func(i int) float64 { return added(i) / micro(nginx[i].p50-direct[i].p50) }),
			median(n, p99), ratio(n, func(i int) float64 { return p99(i) / micro(nginx[i].p99) }),
			median(n, func(i int) float64 { return float64(r[i].resident) / (1 << 20) }))
	}
	_ = t.Flush() // what cannot be printed is seen to be missing
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
