package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const value = "s3cr3t-value"

// holder keeps a secret where fmt can reach it only by reflection.
type holder struct{ hidden secret.Text }

func TestText_NeverPrinted(t *testing.T) {
	s := secret.New(value)
	h := holder{s}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	log.Info("x", "secret", s, "holder", h, "pointer", &h)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", s, "holder", h)
	encoded, err := json.Marshal(map[string]any{"secret": s, "holder": h})
	if err != nil {
		t.Fatal(err)
	}
	seen := []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", h, h, h), fmt.Sprintf("%+v", &h),
		logged.String(), string(encoded),
	}
	for _, text := range seen {
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
			t.Errorf("the secret shows in %q", text)
		}
	}
}

func TestText_Value(t *testing.T) {
	var s secret.Text
	if !s.IsZero() || s.Reveal() != "" || s.String() != "" {
		t.Error("the zero Text is not the empty secret")
	}
	if err := s.UnmarshalText([]byte(value)); err != nil || s.Reveal() != value {
		t.Errorf("UnmarshalText: %v, value kept: %t", err, s.Reveal() == value)
	}
	if !s.Equal(secret.New(value)) || s.Equal(secret.New("other")) || s.Equal(secret.Text{}) {
		t.Error("Equal does not compare the values")
	}
}
