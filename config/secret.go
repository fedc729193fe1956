package config

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

var (
	wholeVariable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
	anyVariable   = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	// keyPattern is an AES key in base64 or hex. The former may have slashes.
	keyPattern = regexp.MustCompile(`^([A-Za-z0-9+/]{43}=?|[0-9a-fA-F]{64})$`)
)

// FileSums has the SHA-256 of every file that the configuration was made from, so
// that a change is noticed. A file that could not be read has the zero sum.
type FileSums map[string][sha256.Size]byte

// read returns a file's content and remembers its sum.
func (s FileSums) read(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		s[path] = [sha256.Size]byte{}
		return nil, err
	}
	s[path] = sha256.Sum256(content)
	return content, nil
}

// Changed reports whether a file reads differently now.
func (s FileSums) Changed() bool {
	now := FileSums{}
	for path, sum := range s {
		_, _ = now.read(path) // one that went away has the zero sum
		if now[path] != sum {
			return true
		}
	}
	return false
}

// secretSlot is one secret of the configuration and the path of its file.
type secretSlot struct {
	path string
	text *secret.Text
	file string
}

// secretSlots returns every secret below v, which stands at path.
func secretSlots(v reflect.Value, path string) []secretSlot {
	var slots []secretSlot
	files := map[string]string{}
	for _, k := range keysOf(v.Type()) {
		field, full := v.Field(k.index), keyPath(path, k.name)
		switch {
		case k.typ == secretType:
			slots = append(slots, secretSlot{path: full, text: field.Addr().Interface().(*secret.Text)})
		case isMapping(k.typ):
			slots = append(slots, secretSlots(field, full)...)
		case isListOfMappings(k.typ):
			for i := range field.Len() {
				slots = append(slots, secretSlots(field.Index(i), fmt.Sprintf("%s[%d]", full, i))...)
			}
		case k.typ.Kind() == reflect.String:
			files[full] = field.String()
		}
	}
	for i, s := range slots {
		if file, ok := files[s.path+"_file"]; ok {
			slots[i].file = file
		}
	}
	return slots
}

// resolveSecrets puts the value of every secret in its place, from its file or
// from the variable that it names.
func (l *Loaded) resolveSecrets(env Environment) {
	for _, s := range secretSlots(reflect.ValueOf(&l.Config).Elem(), "") {
		switch {
		case s.file == "":
			l.expandSecret(s, env)
		case l.given(s.path):
			l.fault(s.path+"_file", "", "given beside "+s.path, "keep one of the two")
		default:
			l.readSecret(s)
		}
	}
}

func (l *Loaded) readSecret(s secretSlot) {
	path := l.resolve(s.path+"_file", s.file)
	shown := path
	if shownPath(s.file) == "" {
		shown = ""
	}
	content, err := l.Files.read(path)
	if err != nil {
		l.fault(s.path+"_file", shown, "cannot be read: "+cause(err), unreadableHint)
		return
	}
	content = bytes.TrimRight(content, "\r\n")
	if len(content) == 0 {
		l.fault(s.path+"_file", shown, "the file is empty", "write the secret into it, and nothing else")
		return
	}
	*s.text = secret.New(string(content))
}

// shownPath returns path for a report, or nothing if it does not look like a
// path: then it may be the secret itself, put where its file belongs.
func shownPath(path string) string {
	if strings.ContainsAny(path, "/.") && !strings.Contains(path, "://") {
		return shownKeyPath(path)
	}
	return ""
}

// shownKeyPath is shownPath for the files of keys, which are known by their form,
// so that a plain file name is shown.
func shownKeyPath(path string) string {
	if keyPattern.MatchString(path) {
		return ""
	}
	return path
}

// expandSecret replaces ${NAME}: as the whole value, and in a URL also as part of it.
func (l *Loaded) expandSecret(s secretSlot, env Environment) {
	variable := wholeVariable
	if s.path == "store" || s.path == "upstream.proxy" {
		variable = anyVariable
	}
	expanded := variable.ReplaceAllStringFunc(s.text.Reveal(), func(found string) string {
		name := found[2 : len(found)-1]
		if env[name] == "" {
			l.fault(s.path, found, "the environment variable "+name+" is not set", "set it, or use "+s.path+"_file")
		}
		return env[name]
	})
	*s.text = secret.New(expanded)
}
