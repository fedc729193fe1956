package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	imageUser = 65532      // of the Dockerfile
	maxImage  = 16_000_000 // bytes
	// The file of roots that Debian's ca-certificates makes has 220 KB.
	rootsSize = 240_000
)

// imageStage returns the lines of the Dockerfile that make the image itself.
func imageStage(t *testing.T) string {
	t.Helper()
	_, stage, ok := strings.Cut(readText(t, "Dockerfile"), "\nFROM scratch\n")
	if !ok {
		t.Fatal("the image is not made from scratch")
	}
	return strings.ReplaceAll(stage, "\\\n", "")
}

// imageRoot returns a folder with the files of the image, each where the Dockerfile has it, and
// their size as a whole. Only /data may be written.
func imageRoot(t *testing.T) (root string, size int64) {
	t.Helper()
	root = t.TempDir()
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", root).Run() })
	program, err := os.ReadFile(mustBuild(t, shippedBuild))
	if err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{
		"/etc/ssl/certs/ca-certificates.crt": make([]byte, rootsSize),
		"/out/passwd":                        []byte("wxsidecar:x:65532:65532:wxsidecar:/data:/sbin/nologin\n"),
		"/out/wxsidecar":                     program,
		"/out/licenses":                      []byte(readText(t, "LICENSE") + readText(t, "THIRD_PARTY_LICENSES")),
		"/out/data":                          nil,
	}
	for _, copied := range regexp.MustCompile(`(?m)^COPY --from=build (?:--chown=65532:65532 )?(\S+) (\S+)$`).FindAllStringSubmatch(imageStage(t), -1) {
		content, ok := made[copied[1]]
		if !ok {
			t.Fatalf("this test does not know what %s of the Dockerfile is", copied[1])
		}
		delete(made, copied[1])
		path := filepath.Join(root, copied[2])
		if content == nil {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o555); err != nil {
			t.Fatal(err)
		}
		size += int64(len(content))
	}
	for source := range made {
		t.Errorf("the Dockerfile copies no %s into the image", source)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(filepath.Join(root, "data"), imageUser, imageUser); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	return root, size
}

// inImage returns a command of the image: its user without any capability, in its folder, and with
// nothing else of this machine's files.
func inImage(root string, args ...string) *exec.Cmd {
	cmd := exec.Command("/wxsidecar", args...)
	cmd.Dir = "/data"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: imageUser, Gid: imageUser}
	} else { // only root may do that elsewhere than in a namespace
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: imageUser, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: imageUser, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

func TestImage_RunsReadOnlyAsItsUser(t *testing.T) {
	t.Parallel()
	root, _ := imageRoot(t)
	var log programLog
	cmd := inImage(root, "serve")
	cmd.Env = []string{
		"WXSIDECAR_ACCOUNTS_0_APPID=" + scriptAccount, "WXSIDECAR_ACCOUNTS_0_SECRET=" + scriptAppSecret, "WXSIDECAR_UPSTREAM_URL=http://127.0.0.1:1",
		"WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=off", "WXSIDECAR_LISTEN_METRICS=127.0.0.1:0", "WXSIDECAR_LISTEN_ADMIN=off",
	}
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	await(t, "the metrics listener", func() bool {
		if len(ended) > 0 {
			t.Fatalf("serve ended: %s", &log)
		}
		return log.at("metrics") != ""
	})
	status := readText(t, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/status")
	if got := found(`(?m)^Cap(?:Prm|Eff):\s+(\w+)$`, status); !slices.Equal(got, []string{"0000000000000000", "0000000000000000"}) {
		t.Errorf("it has the capabilities %q", got)
	}
	health := inImage(root, "health")
	health.Env = []string{"WXSIDECAR_LISTEN_METRICS=" + log.at("metrics")}
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("health: %v\n%s", err, out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v\n%s", err, &log)
	}
	if _, err := os.Stat(filepath.Join(root, "data", "wxsidecar.db")); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Errorf("it has met errors:\n%s", &log)
	}
}

func TestImage_StaysSmall(t *testing.T) {
	_, size := imageRoot(t)
	t.Logf("%d bytes", size)
	if size >= maxImage {
		t.Errorf("the files of the image have %d bytes; they must stay under %d. docs/development.md says what takes the room in the program.", size, maxImage)
	}
}

// What an image says of itself, and what makes the Dockerfile good for other architectures.
func TestImage_SaysWhatItIs(t *testing.T) {
	stage, whole := imageStage(t), readText(t, "Dockerfile")
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`org\.opencontainers\.image\.(\w+)="([^"]+)"`).FindAllStringSubmatch(stage, -1) {
		labels[m[1]] = m[2]
	}
	for name, want := range map[string]string{
		"title": "wxsidecar", "licenses": "Apache-2.0", "source": "https://" + module,
		"version": "$VERSION", "revision": "$REVISION", "created": "$CREATED",
	} {
		if labels[name] != want {
			t.Errorf("the label %s is %q; want %q", name, labels[name], want)
		}
	}
	for _, name := range []string{"VERSION", "REVISION", "CREATED"} { // an argument ends with its stage
		if !strings.Contains(stage, "\nARG "+name+"\n") && !strings.HasPrefix(stage, "ARG "+name+"\n") {
			t.Errorf("the image's stage does not declare %s, so that its label is empty", name)
		}
	}
	for _, want := range []string{"FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build\n", "GOOS=$TARGETOS GOARCH=$TARGETARCH .ci/build /out/wxsidecar", "\nUSER 65532:65532\n"} {
		if !strings.Contains(whole, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
}
