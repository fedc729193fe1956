package main

import (
	"archive/tar"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const releaseVersion = "v1.2.3-rc.1"

// release makes a release of this platform from the sources in dir, and returns its folder.
func release(t *testing.T, dir, umask, zone string) string {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("sh", "-c", "umask "+umask+"; exec make -s release VERSION="+releaseVersion)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DIST="+dist, "PLATFORMS="+platform("/"), "SOURCE_DATE_EPOCH=1700000000", "TZ="+zone)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v\n%s", err, out)
	}
	return dist
}

func platform(between string) string { return runtime.GOOS + between + runtime.GOARCH }

// unpack returns the files of the archive by name, and its headers.
func unpack(t *testing.T, path string) (map[string][]byte, []*tar.Header) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	packed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	files, headers := map[string][]byte{}, []*tar.Header{}
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
		if h.Typeflag == tar.TypeReg {
			if files[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Two releases from two folders, by users with different habits, have the same bytes.
func TestRelease(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	copyTree(t, elsewhere)
	dist, again := release(t, ".", "022", "UTC"), release(t, elsewhere, "077", "Asia/Shanghai")
	name := "wxsidecar_" + releaseVersion + "_" + platform("_")
	for _, dir := range []string{dist, again} {
		check := exec.Command("sha256sum", "--strict", "--check", "SHA256SUMS")
		check.Dir = dir
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("sha256sum: %v\n%s", err, out)
		}
	}
	sums := readText(t, filepath.Join(dist, "SHA256SUMS"))
	if d := cmp.Diff(sums, readText(t, filepath.Join(again, "SHA256SUMS"))); d != "" {
		t.Errorf("two releases of the same source differ:\n%s", d)
	}
	if n := strings.Count(sums, "\n"); n != 2 {
		t.Errorf("SHA256SUMS has %d files; want the archive and its bill of materials", n)
	}

	files, headers := unpack(t, filepath.Join(dist, name+".tar.gz"))
	var got []string
	for _, h := range headers {
		got = append(got, strings.TrimPrefix(h.Name, name))
		want := int64(0o644)
		if h.Typeflag == tar.TypeDir || h.Name == name+"/wxsidecar" {
			want = 0o755
		}
		if h.Mode != want || h.Uid != 0 || h.Gid != 0 || h.Uname+h.Gname != "" || h.ModTime.Unix() != 1_700_000_000 {
			t.Errorf("%s: mode %o, owner %d:%d %q, time %s", h.Name, h.Mode, h.Uid, h.Gid, h.Uname+h.Gname, h.ModTime)
		}
	}
	want := []string{"/", "/LICENSE", "/README.md", "/README.zh-CN.md", "/THIRD_PARTY_LICENSES", "/wxsidecar", "/wxsidecar.service", "/wxsidecar.yaml"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("archive (-want +got):\n%s", d)
	}
	checkReleased(t, files[name+"/wxsidecar"], filepath.Join(dist, name+".cdx.json"))
}

// checkReleased holds that the program shows the release's version, and that the bill of materials
// has every module that is linked into it, with Go's library.
func checkReleased(t *testing.T, program []byte, billPath string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wxsidecar")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "version").Output()
	if want := fmt.Sprintf("wxsidecar %s %s %s\n", releaseVersion, runtime.Version(), platform("/")); err != nil || string(out) != want {
		t.Errorf("wxsidecar version: %q, %v; want %q", out, err, want)
	}

	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return strings.HasPrefix(s.Key, "vcs") }) {
		t.Error("the program has a stamp of git, and is another where there is no git")
	}
	want := map[string]string{"std": runtime.Version()}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	var bill struct {
		BOMFormat    string
		SerialNumber string
		Metadata     struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(readText(t, billPath)), &bill); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range bill.Components {
		got[c.Name] = c.Version
	}
	if d := cmp.Diff(want, got); d != "" || len(got) < 15 {
		t.Errorf("modules (-linked +bill):\n%s", d)
	}
	if c := bill.Metadata.Component; bill.BOMFormat != "CycloneDX" || c.Name != module || c.Version != releaseVersion || bill.SerialNumber+bill.Metadata.Timestamp != "" {
		t.Errorf("the bill is in the form %q, of %+v, serial number %q, of %q", bill.BOMFormat, c, bill.SerialNumber, bill.Metadata.Timestamp)
	}
}

// A release without a good version is refused before anything is built or removed.
func TestRelease_WantsVersion(t *testing.T) {
	for _, version := range []string{"", "1.2.3", "v1.2", "v1.2.3 -X main.x=y", "v1.2.3/../x"} {
		dist := t.TempDir()
		former := filepath.Join(dist, "former")
		if err := os.WriteFile(former, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(".ci/release")
		cmd.Env = append(os.Environ(), "DIST="+dist, "PLATFORMS="+platform("/"), "VERSION="+version)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "make release VERSION=v1.2.3") {
			t.Errorf("version %q: %v\n%s", version, err, out)
		}
		if made, err := filepath.Glob(filepath.Join(dist, "*")); err != nil || !slices.Equal(made, []string{former}) {
			t.Errorf("version %q: %q, %v; want what was there", version, made, err)
		}
	}
}
