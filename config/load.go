package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

var quotedText = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`")

// Sources says where a configuration comes from. The zero Sources are the
// defaults.
type Sources struct {
	// File is the path of the YAML file; empty for none.
	File string
	// FileFrom is where File was named: a flag or a variable.
	FileFrom Origin
	Env      Environment
	Flags    []Assignment
}

// Loaded is a configuration with all that is known of where it came from.
type Loaded struct {
	Config Config
	// Warnings are for people; a configuration with warnings can be used.
	Warnings []string
	// Files are those that the configuration was made from.
	Files FileSums

	at     map[string]Origin
	odd    map[string]oddity
	faults []fault
}

// Load reads the configuration and validates it. It always returns what could be
// understood, and [Loaded.Err] says what is wrong with it.
func Load(src Sources) *Loaded {
	l := &Loaded{Config: Default(), Files: FileSums{}}
	d := newDecoder(src.File)
	root := &yaml.Node{Kind: yaml.MappingNode}
	if src.File != "" {
		root = l.readFile(src)
	}
	fromEnvironment, warnings := src.Env.assignments()
	l.Warnings = append(l.Warnings, warnings...)
	l.oneComponent(root, fromEnvironment)
	for _, a := range append(fromEnvironment, src.Flags...) {
		d.assign(root, a)
	}
	d.value(root, reflect.ValueOf(&l.Config).Elem(), "")
	l.at, l.odd = d.at, d.odd
	l.faults = append(l.faults, d.faults...)
	l.resolveSecrets(src.Env)
	l.resolvePaths()
	l.fillDefaults()
	l.validate()
	l.warnOfProxyVariables(src.Env)
	l.explainOddities()
	return l
}

// Err returns a *[FaultsError] with everything that is wrong, or nil.
func (l *Loaded) Err() error {
	if len(l.faults) == 0 {
		return nil
	}
	return newFaultsError(l.faults)
}

// ErrOf returns the first fault of that key or of the file as a whole, or nil. It is
// for those who need one key only: the rest of the configuration may be elsewhere.
func (l *Loaded) ErrOf(key string) error {
	for _, f := range l.faults {
		if f.key == "" || f.key == key {
			return errors.New(f.String())
		}
	}
	return nil
}

// readFile returns the mapping that the file holds; an empty one for an empty file
// and for one that cannot be read.
func (l *Loaded) readFile(src Sources) *yaml.Node {
	content, err := l.Files.read(src.File)
	if err != nil {
		l.faults = append(l.faults, fault{
			at: src.FileFrom, value: src.File, reason: "the configuration file cannot be read: " + cause(err), hint: unreadableHint,
		})
		return &yaml.Node{Kind: yaml.MappingNode}
	}
	return l.parse(src.File, content)
}

// parse returns the mapping that content holds. file is named in faults.
func (l *Loaded) parse(file string, content []byte) *yaml.Node {
	empty := &yaml.Node{Kind: yaml.MappingNode}
	if at, reason := notUTF8(content); reason != "" {
		l.faults = append(l.faults, fault{at: Origin{fromFile, file, at, 0}, reason: reason, hint: "save the file as UTF-8"})
		return empty
	}
	var documents []yaml.Node
	if err := yaml.Load(content, &documents, yaml.WithAllDocuments()); err != nil {
		if slips := findSlips(file, content); len(slips) > 0 {
			l.faults = append(l.faults, slips...)
		} else {
			l.syntaxFaults(file, err)
		}
		return empty
	}
	if len(documents) > 1 {
		at := Origin{fromFile, file, documents[1].Line, documents[1].Column}
		l.faults = append(l.faults, fault{at: at, reason: "a second document begins here", hint: "keep one, without a line ---"})
	}
	if len(documents) == 0 || len(documents[0].Content) == 0 || isNull(documents[0].Content[0]) {
		return empty
	}
	return documents[0].Content[0]
}

// syntaxFaults reports what keeps a file from being YAML at all.
func (l *Loaded) syntaxFaults(file string, err error) {
	const reason, hint = "not valid YAML: ", "indent with spaces; put a value with special characters in quotes"
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		for _, e := range all.Errors {
			at := Origin{fromFile, file, e.Mark.Line, e.Mark.Column}
			l.faults = append(l.faults, fault{at: at, reason: reason + withoutQuotes(e.Message), hint: hint})
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		at := Origin{fromFile, file, one.Mark.Line, one.Mark.Column}
		l.faults = append(l.faults, fault{at: at, reason: reason + withoutQuotes(one.Message), hint: hint})
		return
	}
	at := Origin{rank: fromFile, name: file}
	l.faults = append(l.faults, fault{at: at, reason: reason + withoutQuotes(err.Error()), hint: hint})
}

// withoutQuotes takes out what a message quotes from the file, which may be part
// of a secret; the single characters that YAML's own syntax consists of stay.
func withoutQuotes(message string) string {
	return quotedText.ReplaceAllStringFunc(message, func(quoted string) string {
		if len(quoted) <= len("','") {
			return quoted
		}
		return "…"
	})
}

// oneComponent refuses WXSIDECAR_COMPONENT_… beside a file that has several: whose
// it is would be a guess.
func (l *Loaded) oneComponent(root *yaml.Node, found []Assignment) {
	_, components := lookup(root, "components")
	if components == nil || len(components.Content) < 2 {
		return
	}
	for _, a := range found {
		if strings.HasPrefix(a.From.name, envComponent) {
			l.faults = append(l.faults, fault{
				at: a.From, key: pathText(a.Path), reason: "the file has several components",
				hint: "name the one that is meant: WXSIDECAR_COMPONENTS_0_…",
			})
		}
	}
}

// fillDefaults sets what depends on other keys.
func (l *Loaded) fillDefaults() {
	c := &l.Config
	if c.Upstream.URL != wechat.DefaultURL && !l.given("upstream.fallback") {
		c.Upstream.Fallback = nil
	}
	if !l.given("limits.replay_body") {
		// What one long body may take of a smaller memory.
		c.Limits.ReplayBody = min(c.Limits.ReplayBody, c.Limits.ReplayMemory*3/4)
	}
	for i := range c.Events {
		if c.Events[i].Format == "" {
			c.Events[i].Format = "xml"
		}
	}
	if path, ok := strings.CutPrefix(c.Store.Reveal(), boltPrefix); ok && c.DataDir == "" {
		c.DataDir = filepath.Dir(path)
	}
	if c.DataDir == "" && !IsRedis(c.Store.Reveal()) {
		c.DataDir = "."
	}
}

// given reports whether a key has a value from the file, the environment or a flag.
func (l *Loaded) given(key string) bool {
	_, ok := l.at[key]
	return ok
}

// fault adds a fault of key, at the place of the key or of the nearest one that
// holds it.
func (l *Loaded) fault(key, value, reason, hint string) {
	l.faults = append(l.faults, fault{l.place(key), key, value, reason, hint})
}

func (l *Loaded) warn(key, text string) {
	l.Warnings = append(l.Warnings, l.place(key).String()+": "+key+": "+text)
}

func (l *Loaded) place(key string) Origin {
	for key != "" {
		if at, ok := l.at[key]; ok {
			return at
		}
		if at, ok := l.at[key+"_file"]; ok {
			return at
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return Origin{}
}

// cause is an error's innermost reason, without the path, which the report shows
// already.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
