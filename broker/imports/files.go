package imports

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// MaxFileBytes bounds a file of a cache: those of interest are shorter.
const MaxFileBytes = 64 << 10

// FileEntry returns what a file of a cache of EasyWeChat or node-easywechat holds: of Symfony's
// FilesystemAdapter the key stands in the file, of Doctrine's and
// node-easywechat's in its name. It is false for a file of another kind.
func FileEntry(name string, content []byte, now time.Time) (Entry, bool) {
	base := path.Base(name)
	switch {
	case strings.HasSuffix(base, ".doctrinecache.data"):
		return doctrineEntry(strings.TrimSuffix(base, ".doctrinecache.data"), content, now)
	case strings.HasSuffix(base, ".cache") && bytes.HasPrefix(content, []byte("{")):
		return nodeEntry(strings.TrimSuffix(base, ".cache"), content, now)
	default:
		return symfonyEntry(content, now)
	}
}

// symfonyEntry: when it dies, the key as in a URL, and the value, each on a line of its own.
func symfonyEntry(content []byte, now time.Time) (Entry, bool) {
	dies, rest, ok := bytes.Cut(content, []byte("\n"))
	if !ok {
		return Entry{}, false
	}
	key, value, ok := bytes.Cut(rest, []byte("\n"))
	left, valid := leftUntil(dies, now)
	if !ok || !valid {
		return Entry{}, false
	}
	text, err := url.PathUnescape(string(bytes.TrimRight(key, "\r")))
	return Entry{Key: text, Value: value, Left: left}, err == nil
}

// doctrineEntry: since Doctrine Cache 1.6 the name of the file is the hexadecimal form of [key][1],
// before it is that text itself.
func doctrineEntry(name string, content []byte, now time.Time) (Entry, bool) {
	dies, value, ok := bytes.Cut(content, []byte("\n"))
	left, valid := leftUntil(dies, now)
	if !ok || !valid {
		return Entry{}, false
	}
	if text, err := hex.DecodeString(name); err == nil {
		name = string(text)
	}
	if _, key, ok := strings.Cut(name, "["); ok {
		name, _, _ = strings.Cut(key, "]")
	}
	return Entry{Key: name, Value: value, Left: left}, true
}

// nodeEntry: {"data":…,"lifeTime":…}, by seconds since 1970.
func nodeEntry(key string, content []byte, now time.Time) (Entry, bool) {
	var item struct {
		Data     json.RawMessage `json:"data"`
		LifeTime float64         `json:"lifeTime"`
	}
	if json.Unmarshal(content, &item) != nil || item.Data == nil {
		return Entry{}, false
	}
	left, ok := leftUntil([]byte(strconv.FormatInt(int64(item.LifeTime), 10)), now)
	return Entry{Key: key, Value: item.Data, Left: left}, ok
}

// leftUntil reads when something dies, in seconds since 1970. 0 is never.
func leftUntil(text []byte, now time.Time) (time.Duration, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 40)
	if err != nil || n < 0 {
		return 0, false
	}
	if n == 0 {
		return 0, true
	}
	if left := time.Unix(n, 0).Sub(now); left != 0 {
		return left, true
	}
	return -1, true
}
