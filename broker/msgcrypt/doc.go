// Package msgcrypt is the cryptography of WeChat's pushes and of the replies to
// them: the signature over the envelope, AES-256-CBC with PKCS#7 padding to blocks
// of 32 bytes, the frame inside (16 random bytes, a length, the message, the
// component's appid) and the envelope outside, in XML or JSON.
//
// The same token, key and frame serve authorization events, users' messages and
// passive replies. The frame ends with the component's appid in all three.
//
// Nothing of a push may be believed before [Codec.Open] has returned it: only
// msg_signature covers the body. The parameter called signature does not.
//
// A [Codec.Open] that fails says why in its error, for the log. Whoever answers WeChat
// must answer every failure alike, or the padding check becomes an oracle.
//
// See https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/message_push.html
//
// The package makes no API promise outside this module.
package msgcrypt
