package anontls

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPRF has the vector for P_SHA256 that the TLS working group published with TLS 1.2.
func TestPRF(t *testing.T) {
	secret := unhex(t, "9bbe436ba940f017b17652849a71db35")
	seed := unhex(t, "a0ba9f936cda311827a6f796ffd5198c")
	want := unhex(t, "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"+
		"6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"+
		"4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"+
		"87347b66")
	for n := range len(want) + 1 {
		got := make([]byte, n)
		prf(got, secret, "test label", seed)
		if !bytes.Equal(got, want[:n]) {
			t.Fatalf("%d bytes:\ngot  %x\nwant %x", n, got, want[:n])
		}
		// However the seed is cut.
		prf(got, secret, "test ", []byte("label"), seed[:3], nil, seed[3:])
		if !bytes.Equal(got, want[:n]) {
			t.Fatalf("%d bytes of a seed in parts: got %x", n, got)
		}
	}
}

// TestSecrets has what `openssl kdf -kdfopt digest:SHA256 TLS1-PRF` makes of the same inputs.
func TestSecrets(t *testing.T) {
	premaster := bytes.Repeat([]byte{1}, 48)
	client, server, session := bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32), bytes.Repeat([]byte{4}, 32)
	for _, c := range []struct {
		name, want string
		got        []byte
	}{
		{"master secret", "54d13273ead149b2fc0c2c5d8c855684e015e8178aa387f003fdf0895dbe7b8d5274aa4f53b49f40f63f13404a72b33a", masterSecret(premaster, nil, client, server)},
		{"extended master secret", "a0c64ee2bdf6787901f92c8e445bc6be59c862299de13945d5ac018c27acb28bbee5ce215fb32f8fddabcd09f3eff8f4", masterSecret(premaster, session, client, server)},
		{"client finished", "84178c6b2a1456d8de595085", verifyData(premaster, labelClientFinished, session)},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	const block = "3b6f0c6be11aac59fdbcadee4aca5f487c97e6b78ac38d43957f6c084b2c944f4d9f143ce26efe79e6ef7d3a5b7c4a6ed2cf0f613b161ae5dbde9018600efe980845a7d4119e525b449907fbca7274a2985566e5afbca44b6c23d264a7218ba1302c023d88e80c1b"
	c, s := deriveKeys(premaster, client, server)
	got := hex.EncodeToString(bytes.Join([][]byte{c.mac, s.mac, c.key, s.key}, nil))
	if got != block {
		t.Errorf("key block: got %s, want %s", got, block)
	}
}
