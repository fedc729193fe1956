package authorize

import (
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// qrCode is a QR code as the path of an SVG, whose unit is a module.
type qrCode struct {
	// size is that of a side, with the margin of four modules that scanners need.
	size int
	path string
}

const qrMargin = 4

// newQRCode returns the QR code of a text, of at most about 2,300 bytes.
func newQRCode(text string) (qrCode, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return qrCode{}, err
	}
	size := code.Bounds().Dx()
	dark := func(x, y int) bool { return x < size && code.At(x, y) == color.Black }
	var path strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			begin := x
			for dark(x, y) {
				x++
			}
			if x > begin { // one rectangle for a run of modules
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", begin+qrMargin, y+qrMargin, x-begin, x-begin)
			}
		}
	}
	return qrCode{size: size + 2*qrMargin, path: path.String()}, nil
}

// viewBox returns the attribute of that name.
func (q qrCode) viewBox() string { return fmt.Sprintf("0 0 %d %d", q.size, q.size) }
