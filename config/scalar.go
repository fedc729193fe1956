package config

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// setScalar parses text into v. It returns what is wrong and a hint, or nothing.
// Numbers and times are parsed from their text, not from YAML's idea of it, so
// that a value means the same in the file, the environment and a flag.
func setScalar(v reflect.Value, text string) (reason, hint string) {
	switch v.Type() {
	case secretType:
		v.Set(reflect.ValueOf(secret.New(text)))
		return "", ""
	case durationType:
		return setDuration(v, text)
	case sizeType:
		return setSize(v, text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		return setBool(v, text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return "not a whole number", "write it in digits, like 1024"
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return "not a number", "write it in digits, like 20 or 0.75"
		}
		v.SetFloat(f)
	}
	return "", ""
}

func setBool(v reflect.Value, text string) (reason, hint string) {
	switch strings.ToLower(text) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		return "neither true nor false", "write one of the two"
	}
	return "", ""
}

func setDuration(v reflect.Value, text string) (reason, hint string) {
	d, err := time.ParseDuration(text)
	if err == nil {
		v.SetInt(int64(d))
		return "", ""
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "a time needs a unit", "write " + text + "s or " + text + "m"
	}
	return "not a time", "write it like 500ms, 30s, 10m or 1h30m"
}

// sizeUnits are the units of a Size; the longest endings first, as "B" ends them all.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

func setSize(v reflect.Value, text string) (reason, hint string) {
	const howTo = "write it in bytes or like 64KiB, 64MiB or 1GiB"
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil {
			return "not a size", howTo
		}
		if n < 0 || n > math.MaxInt64/unit.bytes {
			return "a size out of range", howTo
		}
		v.SetInt(n * unit.bytes)
		return "", ""
	}
	return "not a size", howTo
}
