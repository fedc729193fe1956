package msgcrypt

import "errors"

// cause is an error with a short name for metric labels and log attributes.
type cause struct{ label, text string }

func (c *cause) Error() string { return c.text }

// The reasons for which a push is refused. Test with errors.Is; [Cause] gives
// their short names. None of them shows anything of the push.
var (
	// ErrEnvelope: the body is not an envelope with one Encrypt ([ParseEnvelope]).
	ErrEnvelope error = &cause{"envelope", "the body is not an envelope with one Encrypt"}
	// ErrSignature: msg_signature is not that of the parameters and the body.
	ErrSignature error = &cause{"forged", "msg_signature does not match"}
	// ErrBase64: Encrypt is not base64.
	ErrBase64 error = &cause{"not_base64", "Encrypt is not base64"}
	// ErrLength: the cipher text is empty or ends within a block.
	ErrLength error = &cause{"truncated", "the cipher text is empty or ends within a block"}
	// ErrPadding: the padding is not 1 to 32 equal bytes; usually the key is wrong.
	ErrPadding error = &cause{"padding", "the padding is wrong"}
	// ErrFrame: the length inside the plain text points beyond its end.
	ErrFrame error = &cause{"frame", "the length inside the frame does not fit"}
	// ErrAppID: the push was made for another component.
	ErrAppID error = &cause{"foreign_appid", "the frame ends with another appid"}
)

// Cause returns the short, stable name of the reason in err: envelope, forged,
// not_base64, truncated, padding, frame or foreign_appid; other for any other
// error and "" for nil. The set is bounded, so the name may be a metric label.
func Cause(err error) string {
	var c *cause
	switch {
	case err == nil:
		return ""
	case errors.As(err, &c):
		return c.label
	default:
		return "other"
	}
}
