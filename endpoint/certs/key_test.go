package certs

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// The keys in testdata are one key, written by OpenSSL 3 in many ways (see testdata/keys.sh), with
// this passphrase where there is one. It is of no use for anything else.
const testPassphrase = "secret"

func testKeys(t testing.TB) map[string]*pem.Block {
	t.Helper()
	names, err := filepath.Glob("testdata/keys/*.pem")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d keys in testdata: %v", len(names), err)
	}
	blocks := make(map[string]*pem.Block)
	for _, name := range names {
		block, _ := pem.Decode(read(t, name))
		if block == nil {
			t.Fatalf("%s: no PEM", name)
		}
		blocks[strings.TrimSuffix(filepath.Base(name), ".pem")] = block
	}
	return blocks
}

func TestKeys(t *testing.T) {
	blocks := testKeys(t)
	key, _, err := openKey(blocks["plain"], "")
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range blocks {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "no-") {
				_, _, err := openKey(block, testPassphrase)
				mustSay(t, err, "want", "openssl pkcs8 -topk8 -v2 aes-256-cbc")
				if errors.Is(err, ErrPassphrase) {
					t.Errorf("blames the passphrase: %v", err)
				}
				return
			}
			got, encrypted, err := openKey(block, testPassphrase)
			if err != nil {
				t.Fatal(err)
			}
			if !key.(*ecdsa.PrivateKey).Equal(got) {
				t.Error("another key")
			}
			if want := !strings.HasPrefix(name, "plain"); encrypted != want {
				t.Errorf("encrypted: %v", encrypted)
			}
			if !encrypted {
				return
			}
			if _, _, err := openKey(block, ""); !errors.Is(err, ErrNoPassphrase) {
				t.Errorf("without the passphrase: %v", err)
			}
			// Of 300 wrong ones, one or so leaves what looks like padding.
			n := 3
			if name == "aes-128-cbc" || name == "legacy-aes128" {
				n = 300
			}
			for i := range n {
				if _, _, err := openKey(block, "wrong"+strings.Repeat("x", i)); !errors.Is(err, ErrPassphrase) {
					t.Fatalf("with a wrong passphrase: %v", err)
				}
			}
		})
	}
}

// TestEncryptedKeyInUse loads a node whose key is encrypted.
func TestEncryptedKeyInUse(t *testing.T) {
	ca := newCA(t, "test CA")
	block := testKeys(t)["aes-256-cbc"]
	key, _, err := openKey(block, testPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	f := files(t, ca, ca.issue(t, Request{Name: "a"}))
	write(t, f.KeyFile, pem.EncodeToMemory(block))
	pair := ca.signFor(t, "a", key)
	write(t, f.CertFile, pemOf("CERTIFICATE", pair.Certificate.Raw))

	_, err = Load(f)
	if !errors.Is(err, ErrNoPassphrase) {
		t.Errorf("without the passphrase: %v", err)
	}
	mustSay(t, err, f.KeyFile)
	f.Passphrase = "wrong"
	if _, err := Load(f); !errors.Is(err, ErrPassphrase) {
		t.Errorf("with a wrong passphrase: %v", err)
	}
	f.Passphrase = testPassphrase
	s := load(t, f)
	if c, s := connect(t, s.Client(), s.Server()); c.err != nil || s.err != nil {
		t.Errorf("client: %v, server: %v", c.err, s.err)
	}
}

// TestHostilePBES2 changes single fields of a good key.
func TestHostilePBES2(t *testing.T) {
	block := testKeys(t)["aes-256-cbc"]
	for _, test := range []struct {
		what string
		ruin func(outer *encryptedKey, scheme *pbes2Params, kdf *pbkdf2Params)
		says string
	}{
		{"iterations", func(_ *encryptedKey, _ *pbes2Params, kdf *pbkdf2Params) { kdf.Iterations = maxIterations + 1 }, "10000001 iterations"},
		{"no iterations", func(_ *encryptedKey, _ *pbes2Params, kdf *pbkdf2Params) { kdf.Iterations = 0 }, "0 iterations"},
		{"negative iterations", func(_ *encryptedKey, _ *pbes2Params, kdf *pbkdf2Params) { kdf.Iterations = -1 }, "-1 iterations"},
		{"key length", func(_ *encryptedKey, _ *pbes2Params, kdf *pbkdf2Params) { kdf.KeyLength = 1 << 30 }, "a key of 1073741824 bytes"},
		{"scheme", func(outer *encryptedKey, _ *pbes2Params, _ *pbkdf2Params) { outer.Algorithm.Algorithm[0] = 2 }, "want PBES2"},
		{"derivation", func(_ *encryptedKey, s *pbes2Params, _ *pbkdf2Params) { s.Derivation.Algorithm[0] = 2 }, "want PBKDF2"},
		{"cipher", func(_ *encryptedKey, s *pbes2Params, _ *pbkdf2Params) { s.Encryption.Algorithm[0] = 1 }, "want AES or 3DES"},
		{"function", func(_ *encryptedKey, _ *pbes2Params, kdf *pbkdf2Params) { kdf.PRF.Algorithm[0] = 2 }, "want HMAC"},
		{"no data", func(outer *encryptedKey, _ *pbes2Params, _ *pbkdf2Params) { outer.Data = nil }, "multiple of the cipher's block"},
		{"odd data", func(outer *encryptedKey, _ *pbes2Params, _ *pbkdf2Params) { outer.Data = outer.Data[1:] }, "multiple of the cipher's block"},
		{"short vector", func(_ *encryptedKey, s *pbes2Params, _ *pbkdf2Params) {
			s.Encryption.Parameters.FullBytes = []byte{4, 1, 0}
		}, "multiple of the cipher's block"},
		{"no vector", func(_ *encryptedKey, s *pbes2Params, _ *pbkdf2Params) { s.Encryption.Parameters = asn1.RawValue{} }, "asn1"},
	} {
		var outer encryptedKey
		var scheme pbes2Params
		var kdf pbkdf2Params
		for _, err := range []error{unmarshal(block.Bytes, &outer), unmarshal(outer.Algorithm.Parameters.FullBytes, &scheme),
			unmarshal(scheme.Derivation.Parameters.FullBytes, &kdf)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		test.ruin(&outer, &scheme, &kdf)
		scheme.Derivation.Parameters.FullBytes = marshal(t, kdf)
		outer.Algorithm.Parameters.FullBytes = marshal(t, scheme)
		_, err := decryptPKCS8(marshal(t, outer), testPassphrase)
		t.Run(test.what, func(t *testing.T) { mustSay(t, err, test.says) })
	}
	whole := block.Bytes
	for n := range whole {
		if _, err := decryptPKCS8(whole[:n], testPassphrase); err == nil {
			t.Errorf("decrypts the first %d bytes of %d", n, len(whole))
		}
	}
	if _, err := decryptPKCS8(append(bytes.Clone(whole), 0), testPassphrase); err == nil {
		t.Error("decrypts a key with a byte behind it")
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// FuzzDecryptKey opens keys in PEM. Whatever opens must open again from its plain form.
func FuzzDecryptKey(f *testing.F) {
	for _, block := range testKeys(f) {
		f.Add(pem.EncodeToMemory(block))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		block, _ := pem.Decode(text)
		if block == nil {
			return
		}
		// Not to spend the time in the derivation of keys.
		if p, err := parsePBES2(block.Bytes); err == nil && p.iterations > 4096 {
			return
		}
		key, _, err := openKey(block, testPassphrase)
		if (key == nil) != (err != nil) {
			t.Fatalf("key %v, error %v", key, err)
		}
	})
}
