package anontls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

var testKeys = direction{mac: []byte("a MAC key, 20 bytes "), key: []byte("an AES-256 key, which has 32 byt")}

func fill(b []byte) { rand.Read(b) }

// both runs a test for encrypt-then-MAC and MAC-then-encrypt.
func both(t *testing.T, f func(t *testing.T, etm bool)) {
	for _, etm := range []bool{true, false} {
		t.Run(fmt.Sprintf("etm=%v", etm), func(t *testing.T) { f(t, etm) })
	}
}

// reference is record protection as the RFCs write it down: a restarted chain for each record, and
// whatever padding is asked for.
type reference struct {
	etm bool
	seq uint64
}

func (r *reference) tag(typ recordType, data []byte) []byte {
	h := hmac.New(sha1.New, testKeys.mac)
	binary.Write(h, binary.BigEndian, r.seq)
	h.Write(appendHeader(nil, typ, len(data)))
	h.Write(data)
	return h.Sum(nil)
}

func (r *reference) seal(typ recordType, data, padding []byte) []byte {
	inner := bytes.Clone(data)
	if !r.etm {
		inner = append(inner, r.tag(typ, data)...)
	}
	inner = append(inner, padding...)
	block, _ := aes.NewCipher(testKeys.key)
	body := make([]byte, 16+len(inner))
	rand.Read(body[:16])
	cipher.NewCBCEncrypter(block, body[:16]).CryptBlocks(body[16:], inner)
	if r.etm {
		body = append(body, r.tag(typ, body)...)
	}
	r.seq++
	return append(appendHeader(nil, typ, len(body)), body...)
}

// padding returns n bytes of valid padding.
func padding(n int) []byte { return bytes.Repeat([]byte{byte(n - 1)}, n) }

// shortest returns the least padding for n bytes of data.
func (r *reference) shortest(n int) int {
	if !r.etm {
		n += macLen
	}
	return 16 - n%16
}

func (r *reference) open(record []byte) ([]byte, error) {
	typ, body := recordType(record[0]), record[5:]
	if n := int(binary.BigEndian.Uint16(record[3:])); n != len(body) || record[1] != 3 || record[2] != 3 {
		return nil, fmt.Errorf("header %x for %d bytes", record[:5], len(body))
	}
	if r.etm {
		n := len(body) - macLen
		if n < 0 || !bytes.Equal(body[n:], r.tag(typ, body[:n])) {
			return nil, errors.New("wrong MAC")
		}
		body = body[:n]
	}
	if len(body) < 32 || len(body)%16 != 0 {
		return nil, errors.New("wrong length")
	}
	block, _ := aes.NewCipher(testKeys.key)
	inner := make([]byte, len(body)-16)
	cipher.NewCBCDecrypter(block, body[:16]).CryptBlocks(inner, body[16:])
	n := int(inner[len(inner)-1]) + 1
	if n > len(inner) || !bytes.Equal(inner[len(inner)-n:], padding(n)) {
		return nil, errors.New("wrong padding")
	}
	inner = inner[:len(inner)-n]
	if !r.etm {
		n := len(inner) - macLen
		if n < 0 || !bytes.Equal(inner[n:], r.tag(typ, inner[:n])) {
			return nil, errors.New("wrong MAC")
		}
		inner = inner[:n]
	}
	r.seq++
	return inner, nil
}

var sizes = append(func() (s []int) {
	for n := range 70 {
		s = append(s, n)
	}
	return s
}(), 255, 256, 257, 1000, 16383, 16384)

func TestSealAsReference(t *testing.T) {
	both(t, func(t *testing.T, etm bool) {
		random := 0
		s, r := newSealer(testKeys, etm, func(b []byte) { random += len(b); fill(b) }), &reference{etm: etm}
		seen := map[[16]byte]bool{}
		for _, n := range sizes {
			data := make([]byte, n)
			rand.Read(data)
			before := bytes.Clone(data)
			record := s.seal([]byte("before"), recordData, data)
			if !bytes.HasPrefix(record, []byte("before")) || !bytes.Equal(data, before) {
				t.Fatal("seal changed what is not its own")
			}
			record = record[6:]
			if len(record) > maxSealed {
				t.Fatalf("a record of %d bytes for %d", len(record), n)
			}
			if got, err := r.open(record); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes: got %d others, %v", n, len(got), err)
			}
			iv := [16]byte(record[5:])
			if seen[iv] {
				t.Fatal("an IV came twice")
			}
			seen[iv] = true
		}
		if random != len(sizes)*blockLen {
			t.Errorf("%d random bytes for %d IVs", random, len(sizes))
		}
		if again := newSealer(testKeys, etm, fill).seal(nil, recordData, nil); seen[[16]byte(again[5:])] {
			t.Error("the first IV is the same again")
		}
	})
}

func TestOpenAsReference(t *testing.T) {
	both(t, func(t *testing.T, etm bool) {
		o, r := newOpener(testKeys, etm), &reference{etm: etm}
		for _, n := range sizes {
			data := make([]byte, n)
			rand.Read(data)
			for pad := r.shortest(n); pad <= 256; pad += 16 {
				record := r.seal(recordData, data, padding(pad))
				dst := make([]byte, n+pad%48+20) // sometimes large enough
				got, err := o.open(dst, record)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes with %d of padding: %d bytes, %v", n, pad, len(got), err)
				}
				sealed := n + pad
				if !etm {
					sealed += macLen
				}
				if n > 0 && (len(dst) >= sealed) != (&got[0] == &dst[0]) {
					t.Fatalf("%d bytes with %d of padding: opened in the wrong place", n, pad)
				}
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	both(t, func(t *testing.T, etm bool) {
		data := []byte("forty bytes of data in a record for test")
		var r reference
		r.etm = etm
		pad := r.shortest(len(data)) + 48
		valid := (&reference{etm: etm}).seal(recordData, data, padding(pad))
		refused := func(name string, record []byte) {
			t.Helper()
			dst := bytes.Repeat([]byte{0xEE}, 1<<10)
			got, err := newOpener(testKeys, etm).open(dst, bytes.Clone(record))
			if got != nil || err != errBadRecord {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			if bytes.Contains(dst, data[:8]) {
				t.Errorf("%s: data were left behind", name)
			}
		}
		if got, err := newOpener(testKeys, etm).open(nil, bytes.Clone(valid)); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("the valid record: %q, %v", got, err)
		}
		for i := range valid {
			if i >= 1 && i < 5 {
				continue // version and length are checked, and set, before
			}
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(valid)
				bad[i] ^= bit
				refused(fmt.Sprintf("bit %#x of byte %d", bit, i), bad)
			}
		}
		for n := 5; n < len(valid); n++ {
			refused(fmt.Sprintf("the first %d bytes", n), valid[:n])
		}
		for i := range pad {
			bad := padding(pad)
			bad[i] ^= 1
			refused(fmt.Sprintf("byte %d of padding", i), (&reference{etm: etm}).seal(recordData, data, bad))
		}
		for _, last := range []byte{0, 1, 100, 120, 254, 255} { // more, or less, than there is
			bad := padding(pad)
			bad[pad-1] = last
			if last != 0 { // no padding is valid, and then the MAC is elsewhere
				refused(fmt.Sprintf("padding of %d", last), (&reference{etm: etm}).seal(recordData, data, bad))
			}
		}
		refused("the second record first", (&reference{etm: etm, seq: 1}).seal(recordData, data, padding(pad)))
		refused("the other protection", (&reference{etm: !etm}).seal(recordData, data, padding((&reference{etm: !etm}).shortest(len(data)))))

		o := newOpener(testKeys, etm)
		if _, err := o.open(nil, bytes.Clone(valid)); err != nil {
			t.Fatal(err)
		}
		if _, err := o.open(nil, bytes.Clone(valid)); err != errBadRecord {
			t.Errorf("a repeated record: %v", err)
		}

		long := make([]byte, maxPlaintext+1)
		_, err := newOpener(testKeys, etm).open(nil, (&reference{etm: etm}).seal(recordData, long, padding(r.shortest(len(long)))))
		if code := alertOf(t, err, false); code != alertRecordOverflow {
			t.Errorf("too much data: %v", err)
		}
	})
}

// TestUnpad compares with a plain reading of the RFC.
func TestUnpad(t *testing.T) {
	plain := func(b []byte, least int) (n, good int) {
		last := int(b[len(b)-1])
		if last+1+least > len(b) {
			return len(b) - 1 - least, 0
		}
		for _, p := range b[len(b)-1-last:] {
			if int(p) != last {
				return len(b) - 1 - least, 0
			}
		}
		return len(b) - 1 - last - least, 1
	}
	for _, size := range []int{32, 48, 64, 256, 272, 288, 512} {
		for last := range 256 {
			b := make([]byte, size)
			rand.Read(b)
			for i := range min(last+1, size) {
				b[size-1-i] = byte(last)
			}
			for wrong := -1; wrong < min(last+3, size); wrong++ {
				if wrong >= 0 {
					b[size-1-wrong] ^= 0x40
				}
				n, good := unpadSecret(b)
				if wantN, want := plain(b, macLen); n != wantN || good != want {
					t.Fatalf("secret: size %d, last %d, wrong %d: %d, %d; want %d, %d", size, last, wrong, n, good, wantN, want)
				}
				n, good = unpad(b)
				if wantN, want := plain(b, 0); good != want || good == 1 && n != wantN {
					t.Fatalf("size %d, last %d, wrong %d: %d, %d; want %d, %d", size, last, wrong, n, good, wantN, want)
				}
				if wrong >= 0 {
					b[size-1-wrong] ^= 0x40
				}
			}
		}
	}
}

func TestConstantTimeSHA1(t *testing.T) {
	h := newConstantTimeSHA1()
	if _, ok := h.(*constantTimeSHA1); !ok {
		t.Error("crypto/sha1 no longer offers ConstantTimeSum")
	}
	for n := range 200 {
		h.Reset()
		h.Write(make([]byte, n))
		want := sha1.Sum(make([]byte, n))
		if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("%d bytes: %x", n, got)
		}
	}
}

func TestRecordsDoNotAllocate(t *testing.T) {
	both(t, func(t *testing.T, etm bool) {
		s, o := newSealer(testKeys, etm, fill), newOpener(testKeys, etm)
		data, buffer, dst := make([]byte, maxPlaintext), make([]byte, 0, batchLen), make([]byte, 2*maxPlaintext)
		if n := testing.AllocsPerRun(20, func() {
			record := s.seal(buffer, recordData, data)
			if got, err := o.open(dst, record); err != nil || len(got) != len(data) {
				panic(errors.Join(errors.New("not opened"), err))
			}
		}); n != 0 {
			t.Errorf("%v allocations a record", n)
		}
	})
}
