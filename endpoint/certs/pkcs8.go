package certs

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// maxIterations bounds the derivation of a key: some seconds. OpenSSL 3 writes 2048 by default, and
// recommendations are below a million.
const maxIterations = 10_000_000

// convertKey is what to do with a form of encryption that is not read here.
const convertKey = "convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc"

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	// The default of RFC 8018 is that of OpenSSL before 1.1.0.
	oidHMACWithSHA1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
)

// prfs are the pseudo-random functions of PBKDF2 (RFC 8018 appendix B.1).
var prfs = map[string]func() hash.Hash{
	oidHMACWithSHA1.String(): sha1.New,
	"1.2.840.113549.2.8":     sha256.New224,
	"1.2.840.113549.2.9":     sha256.New,
	"1.2.840.113549.2.10":    sha512.New384,
	"1.2.840.113549.2.11":    sha512.New,
}

// ciphers are the encryption schemes of PBES2 (RFC 8018 appendix B.2), all in CBC mode.
var ciphers = map[string]struct {
	keyLen int
	new    func(key []byte) (cipher.Block, error)
}{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// The shapes of RFC 5208 section 6 and RFC 8018 appendix A.
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		Derivation pkix.AlgorithmIdentifier
		Encryption pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

// A pbes2 is an encrypted key, with what it takes to open it.
type pbes2 struct {
	prf        func() hash.Hash
	salt       []byte
	iterations int
	keyLen     int
	newCipher  func(key []byte) (cipher.Block, error)
	iv         []byte
	data       []byte
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5208), as it is in "ENCRYPTED PRIVATE KEY".
func decryptPKCS8(der []byte, passphrase string) ([]byte, error) {
	p, err := parsePBES2(der)
	if err != nil {
		return nil, fmt.Errorf("encrypted key: %w", err)
	}
	return p.decrypt(passphrase)
}

// parsePBES2 takes the encryption apart and refuses all that decrypt could not do.
func parsePBES2(der []byte) (*pbes2, error) {
	var outer encryptedKey
	var scheme pbes2Params
	var kdf pbkdf2Params
	if err := unmarshal(der, &outer); err != nil {
		return nil, err
	}
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("encryption scheme %v, want PBES2: %s", outer.Algorithm.Algorithm, convertKey)
	}
	if err := unmarshal(outer.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	switch id := scheme.Derivation.Algorithm; {
	case id.Equal(oidScrypt):
		return nil, fmt.Errorf("key derivation scrypt, want PBKDF2: %s", convertKey)
	case !id.Equal(oidPBKDF2):
		return nil, fmt.Errorf("key derivation %v, want PBKDF2: %s", id, convertKey)
	}
	if err := unmarshal(scheme.Derivation.Parameters.FullBytes, &kdf); err != nil {
		return nil, err
	}
	if kdf.PRF.Algorithm == nil {
		kdf.PRF.Algorithm = oidHMACWithSHA1
	}
	p := &pbes2{salt: kdf.Salt, iterations: kdf.Iterations, data: outer.Data}
	if p.prf = prfs[kdf.PRF.Algorithm.String()]; p.prf == nil {
		return nil, fmt.Errorf("PBKDF2 with %v, want HMAC with SHA-1 or SHA-2: %s", kdf.PRF.Algorithm, convertKey)
	}
	if p.iterations < 1 || p.iterations > maxIterations {
		return nil, fmt.Errorf("PBKDF2 with %d iterations, want 1 to %d: %s", p.iterations, maxIterations, convertKey)
	}
	encryption, ok := ciphers[scheme.Encryption.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("cipher %v, want AES or 3DES in CBC mode: %s", scheme.Encryption.Algorithm, convertKey)
	}
	p.keyLen, p.newCipher = encryption.keyLen, encryption.new
	if kdf.KeyLength != 0 && kdf.KeyLength != p.keyLen {
		return nil, fmt.Errorf("a key of %d bytes for a cipher that takes %d", kdf.KeyLength, p.keyLen)
	}
	return p, unmarshal(scheme.Encryption.Parameters.FullBytes, &p.iv)
}

// unmarshal parses all of der.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	return err
}

// decrypt opens the key. Wrong padding is a wrong passphrase.
func (p *pbes2) decrypt(passphrase string) ([]byte, error) {
	key, err := pbkdf2.Key(p.prf, passphrase, p.salt, p.iterations, p.keyLen)
	if err != nil {
		return nil, err
	}
	block, err := p.newCipher(key)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(p.iv) != size || len(p.data) == 0 || len(p.data)%size != 0 {
		return nil, errors.New("encrypted key: data or initialisation vector are not a multiple of the cipher's block")
	}
	plain := make([]byte, len(p.data))
	cipher.NewCBCDecrypter(block, p.iv).CryptBlocks(plain, p.data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > size || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat(plain[len(plain)-1:], pad)) {
		return nil, ErrPassphrase
	}
	return plain[:len(plain)-pad], nil
}
