package anontls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
)

// Lengths of the suite, in bytes.
const (
	masterLen   = 48
	verifyLen   = 12
	macLen      = 20
	keyLen      = 32
	keyBlockLen = 2*macLen + 2*keyLen // 104: the IVs are in the records
)

// prf fills out with the pseudorandom function of TLS 1.2 (RFC 5246 section 5). Its hash is SHA-256
// for all suites that are older than TLS 1.2, such as ours.
func prf(out, secret []byte, label string, seeds ...[]byte) {
	mac := hmac.New(sha256.New, secret)
	sum := func(dst []byte, parts ...[]byte) []byte {
		mac.Reset()
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(dst[:0])
	}
	var seed []byte
	seed = append(seed, label...)
	for _, s := range seeds {
		seed = append(seed, s...)
	}
	a := sum(nil, seed)
	var block []byte
	for len(out) > 0 {
		block = sum(block, a, seed)
		out = out[copy(out, block):]
		a = sum(a, a)
	}
}

// masterSecret returns the master secret. sessionHash is the hash of the handshake up to the
// ClientKeyExchange if extended_master_secret is in use (RFC 7627 section 4), otherwise nil.
func masterSecret(premaster, sessionHash, clientRandom, serverRandom []byte) []byte {
	master := make([]byte, masterLen)
	if sessionHash != nil {
		prf(master, premaster, "extended master secret", sessionHash)
	} else {
		prf(master, premaster, "master secret", clientRandom, serverRandom)
	}
	return master
}

// verifyData returns the contents of a Finished message.
func verifyData(master []byte, label string, transcript []byte) []byte {
	data := make([]byte, verifyLen)
	prf(data, master, label, transcript)
	return data
}

// direction holds the keys of one direction.
type direction struct{ mac, key []byte }

// deriveKeys returns the keys of both directions (RFC 5246 section 6.3).
func deriveKeys(master, clientRandom, serverRandom []byte) (client, server direction) {
	b := make([]byte, keyBlockLen)
	prf(b, master, "key expansion", serverRandom, clientRandom)
	client.mac, server.mac, b = b[:macLen], b[macLen:2*macLen], b[2*macLen:]
	client.key, server.key = b[:keyLen], b[keyLen:]
	return client, server
}

func newBlock(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length is a constant
	}
	return block
}
