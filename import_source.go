package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/imports"
	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/config"
)

// importReader is what can be imported from.
type importReader struct {
	name string
	// source says what SOURCE may be.
	source string
	// keys are where it holds keys; nil for none.
	keys *imports.Source
	// cache says that SOURCE may be a folder of cache files as well.
	cache bool
	// text reads a file.
	text func(io.Reader) ([]imports.Finding, error)
}

// importReaders are in the order in which they are shown.
func importReaders() []importReader {
	return []importReader{
		{name: "wxjava", source: "the Redis URL of WxJava's WxOpenInRedis… or WxOpenInRedisson…ConfigStorage", keys: &imports.WxJava},
		{name: "wechatpy", source: "the Redis URL of wechatpy's RedisStorage", keys: &imports.Wechatpy},
		{name: "easywechat", source: "the folder of EasyWeChat's or node-easywechat's cache files, or the Redis URL of its cache", keys: &imports.EasyWeChat, cache: true},
		{name: "wxcomponent", source: "a file with a mysqldump of wxcloudrun-wxcomponent's database, or - for stdin", text: imports.WxComponent},
		{name: "csv", source: "a CSV file with the columns appid and refresh_token, or - for stdin", text: imports.CSV},
	}
}

func importReaderNamed(name string) (importReader, bool) {
	all := importReaders()
	i := slices.IndexFunc(all, func(r importReader) bool { return r.name == name })
	if i < 0 {
		return importReader{}, false
	}
	return all[i], true
}

func importNames() (names []string) {
	for _, r := range importReaders() {
		names = append(names, r.name)
	}
	return names
}

func importHelp() string {
	var b strings.Builder
	for _, r := range importReaders() {
		fmt.Fprintf(&b, "  %-12s %s\n", r.name, r.source)
	}
	return b.String()
}

// errNothing says that a source has nothing to import.
var errNothing = errors.New("nothing was found there\nhint: compare the address; for Redis also its database and --prefix")

// findings reads the source.
func (r importReader) findings(ctx context.Context, o importOptions) (found []imports.Finding, err error) {
	source := o.source.Reveal()
	switch {
	case config.IsRedis(source):
		if r.keys == nil {
			return nil, fmt.Errorf("%s is not read from Redis: give %s", r.name, r.source)
		}
		found, err = r.scan(ctx, o)
	case r.cache:
		found, err = r.files(ctx, source, o.now())
	case r.text != nil:
		found, err = r.file(source)
	default:
		return nil, fmt.Errorf("SOURCE must be %s", r.source)
	}
	isOfUse := func(f imports.Finding) bool { return f.Kind != imports.KindComponentToken }
	if err == nil && !slices.ContainsFunc(found, isOfUse) {
		err = errNothing
	}
	if o.sourceFile != "" || strings.Contains(source, "://") {
		err = withoutPath(err)
	}
	if err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	return found, nil
}

// maxSourceBytes is more than a URL or a path has.
const maxSourceBytes = 4 << 10

// readSourceFile reads SOURCE from a file. Its text is in no error: it may be what SOURCE should
// have named, with its secrets.
func readSourceFile(name string) (secret.Text, error) {
	in, err := os.Open(name)
	if err != nil {
		return secret.Text{}, err
	}
	defer func() { _ = in.Close() }()
	text, err := io.ReadAll(io.LimitReader(in, maxSourceBytes+1))
	source := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return secret.Text{}, err
	case len(text) > maxSourceBytes, strings.ContainsAny(source, "\n\r"):
		return secret.Text{}, fmt.Errorf("%s has more than one line: it is to hold SOURCE, the URL or the path; to import that file itself give it as SOURCE", name)
	}
	return secret.New(source), nil
}

// withoutPath is an error of a file without its name, which may be a URL with a password.
func withoutPath(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return fmt.Errorf("%s what SOURCE names: %w", path.Op, path.Err)
	}
	return err
}

// maxImportKeys is more keys than a platform has, and files of a cache.
const maxImportKeys = 1_000_000

// scan reads keys in Redis, each once.
func (r importReader) scan(ctx context.Context, o importOptions) (found []imports.Finding, err error) {
	seen, now := map[string]bool{}, o.now()
	err = redisstore.Scan(ctx, redisstore.ScanOptions{
		URL: o.source, Patterns: r.keys.Patterns(o.prefix), MaxBytes: imports.MaxValueBytes, MaxKeys: maxImportKeys,
	}, func(s redisstore.Scanned) {
		e := imports.Entry{Key: s.Key, Value: s.Value, Left: s.Left}
		switch {
		case seen[s.Key]:
			return
		case s.NoText:
			e.Fault = "the key holds no string"
		case len(s.Value) > imports.MaxValueBytes:
			e.Fault = "the value is too long"
		}
		seen[s.Key] = true
		if f, ok := r.keys.Read(o.prefix, e, now); ok {
			found = append(found, f)
		}
	})
	return found, err
}

// files reads a folder of cache files, or one.
func (r importReader) files(ctx context.Context, root string, now time.Time) (found []imports.Finding, err error) {
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	n := 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if n++; n > maxImportKeys {
			return imports.ErrTooMany
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > imports.MaxFileBytes {
			return nil // gone meanwhile, or none of ours
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if e, ok := imports.FileEntry(filepath.ToSlash(path), content, now); ok {
			if f, ok := r.keys.Read("", e, now); ok {
				found = append(found, f)
			}
		}
		return nil
	})
	return found, err
}

// maxImportBytes bounds a text: a dump of a million merchants is shorter, unless it holds years of
// callback records.
const maxImportBytes = 4 << 30

func (r importReader) file(name string) (found []imports.Finding, err error) {
	in := os.Stdin
	if name != "-" {
		if in, err = os.Open(name); err != nil {
			return nil, err
		}
		defer func() { _ = in.Close() }()
	}
	limited := &io.LimitedReader{R: in, N: maxImportBytes}
	if found, err = r.text(limited); err == nil && limited.N <= 0 {
		err = fmt.Errorf("%s is longer than %d bytes: leave out the tables of callback records", name, maxImportBytes)
	}
	return found, err
}
