package msgcrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math"
)

const (
	// padBlock is what WeChat pads to: twice the block of AES.
	padBlock   = 32
	prefixSize = 16
	headSize   = prefixSize + 4
)

// box is the symmetric half of a codec. Its fields are pointers, so that fmt
// shows addresses and not the key.
type box struct {
	block cipher.Block
	iv    *[aes.BlockSize]byte
}

func newBox(key []byte) (box, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return box{}, err
	}
	// The protocol takes the head of the key as the IV of every message; the
	// random prefix of the frame is what makes cipher texts differ.
	return box{block, (*[aes.BlockSize]byte)(append([]byte(nil), key[:aes.BlockSize]...))}, nil
}

// decrypt works in place and returns the unpadded plain text within data.
func (b box) decrypt(data []byte) ([]byte, error) {
	// Senders make whole blocks of 32, but WeChat's own sample asks for no more
	// than whole blocks of AES.
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, ErrLength
	}
	cipher.NewCBCDecrypter(b.block, b.iv[:]).CryptBlocks(data, data)
	return unpad(data)
}

// encrypt pads and encrypts plain in place where its capacity allows.
func (b box) encrypt(plain []byte) []byte {
	padded := pad(plain)
	cipher.NewCBCEncrypter(b.block, b.iv[:]).CryptBlocks(padded, padded)
	return padded
}

func pad(plain []byte) []byte {
	n := padBlock - len(plain)%padBlock
	for range n {
		plain = append(plain, byte(n))
	}
	return plain
}

// unpad takes off the padding. Sample code takes a last byte beyond 32 for "no
// padding"; that would let a wrong key through to the frame.
func unpad(plain []byte) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n < 1 || n > padBlock || n > len(plain) {
		return nil, ErrPadding
	}
	kept := len(plain) - n
	for _, c := range plain[kept:] {
		if int(c) != n {
			return nil, ErrPadding
		}
	}
	return plain[:kept], nil
}

// frame returns prefix, length, message and appid joined, with room for padding.
func frame(prefix [prefixSize]byte, message []byte, appID string) ([]byte, error) {
	if uint64(len(message)) > math.MaxUint32 {
		return nil, ErrFrame
	}
	f := make([]byte, 0, headSize+len(message)+len(appID)+padBlock)
	f = append(f, prefix[:]...)
	f = binary.BigEndian.AppendUint32(f, uint32(len(message)))
	f = append(f, message...)
	return append(f, appID...), nil
}

// unframe returns the message and the appid within plain.
func unframe(plain []byte) (message, appID []byte, err error) {
	if len(plain) < headSize {
		return nil, nil, ErrFrame
	}
	n := uint64(binary.BigEndian.Uint32(plain[prefixSize:]))
	rest := plain[headSize:]
	if n > uint64(len(rest)) {
		return nil, nil, ErrFrame
	}
	return rest[:n:n], rest[n:], nil
}
