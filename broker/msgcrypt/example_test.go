package msgcrypt_test

import (
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// What a server does with the body and the query of a push.
func ExampleCodec_Open() {
	codec, err := msgcrypt.New("AAAAA", strings.Repeat("A", 43), "wx134c8103faa5a59e")
	if err != nil {
		fmt.Println(err)
		return
	}
	sent, err := codec.Seal([]byte("<xml><InfoType>unauthorized</InfoType></xml>"), "1713424427", "415670741")
	if err != nil {
		fmt.Println(err)
		return
	}

	encrypt, err := msgcrypt.ParseEnvelope(sent.PushXML("wx134c8103faa5a59e"))
	if err != nil {
		fmt.Println("refused:", msgcrypt.Cause(err))
		return
	}
	plain, err := codec.Open(sent.MsgSignature, sent.TimeStamp, sent.Nonce, encrypt)
	fmt.Println(string(plain), err)

	_, err = codec.Open(sent.MsgSignature, "1713424428", sent.Nonce, encrypt)
	fmt.Println("refused:", msgcrypt.Cause(err))
	// Output:
	// <xml><InfoType>unauthorized</InfoType></xml> <nil>
	// refused: forged
}
