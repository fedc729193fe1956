package dial_test

import (
	"net/netip"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

func TestMetadata(t *testing.T) {
	for _, text := range []string{
		"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1%eth0", "ff02::1",
		"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254",
	} {
		if !dial.Metadata(netip.MustParseAddr(text)) {
			t.Errorf("%s may be called", text)
		}
	}
	for _, text := range []string{"127.0.0.1", "10.0.0.1", "192.168.1.1", "100.100.100.201", "::1", "fd00::1", "8.8.8.8", "2606:4700::1"} {
		if dial.Metadata(netip.MustParseAddr(text)) {
			t.Errorf("%s is refused", text)
		}
	}
}
