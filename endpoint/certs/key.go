package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

var (
	// ErrNoPassphrase says that a key is encrypted and no passphrase was given.
	ErrNoPassphrase = errors.New("the key is encrypted, and no passphrase is given")
	// ErrPassphrase says that a key could not be decrypted with the passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
)

// readKey reads the first private key of a file. It warns of a key that others can read.
func readKey(c *content, file, passphrase string) (crypto.Signer, error) {
	if file == "" {
		return nil, errors.New("no key file (Broker::ssl_keyfile)")
	}
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		c.warn("%s: everybody on this machine can read or write the private key (mode %04o): chmod 600", file, info.Mode().Perm())
	}
	var seen []string
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			seen = append(seen, block.Type)
			continue
		}
		key, encrypted, err := openKey(block, passphrase)
		if err != nil {
			return nil, &FileError{file, err}
		}
		if !encrypted && passphrase != "" {
			c.warn("%s: there is a passphrase, but the key is not encrypted", file)
		}
		return key, nil
	}
	return nil, &FileError{file, nothing(errors.New("no private key in PEM in it"), text, seen, "openssl pkey -inform der")}
}

// openKey decrypts a key, if it is encrypted, and parses it.
func openKey(block *pem.Block, passphrase string) (key crypto.Signer, encrypted bool, err error) {
	kind, der := block.Type, block.Bytes
	// The old form of encryption has no integrity and a weak derivation of the key. But the files
	// are there, Broker reads them, and whoever can change them can change the key.
	//lint:ignore SA1019 see above
	legacy := x509.IsEncryptedPEMBlock(block)
	encrypted = legacy || kind == "ENCRYPTED PRIVATE KEY"
	switch {
	case encrypted && passphrase == "":
		return nil, true, ErrNoPassphrase
	case legacy:
		//lint:ignore SA1019 see above
		der, err = x509.DecryptPEMBlock(block, []byte(passphrase))
		if errors.Is(err, x509.IncorrectPasswordError) {
			err = ErrPassphrase
		}
	case encrypted:
		kind = "PRIVATE KEY"
		der, err = decryptPKCS8(der, passphrase)
	}
	if err != nil {
		return nil, encrypted, err
	}
	if key, err = parseKey(kind, der); err != nil && encrypted {
		// One wrong passphrase in 256 leaves bytes that end like padding.
		err = fmt.Errorf("%w, or a damaged key: %w", ErrPassphrase, err)
	}
	return key, encrypted, err
}

func parseKey(kind string, der []byte) (crypto.Signer, error) {
	var key any
	var err error
	switch kind {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	default:
		return nil, fmt.Errorf("%s: want a key as openssl pkey writes it", clip(kind))
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("a key of type %T: want RSA, ECDSA or Ed25519", key)
}
