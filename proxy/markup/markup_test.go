package markup_test

import (
	"context"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/markup"
)

func TestText(t *testing.T) {
	var b strings.Builder
	if err := markup.Text(`<b>"Tea" & 'Co'`).Render(context.Background(), &b); err != nil || b.String() != "&lt;b&gt;&#34;Tea&#34; &amp; &#39;Co&#39;" {
		t.Errorf("%s, %v", b.String(), err)
	}
}
