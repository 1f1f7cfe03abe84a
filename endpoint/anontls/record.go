package anontls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
)

type recordType uint8

const (
	recordChangeCipherSpec recordType = 20
	recordAlert            recordType = 21
	recordHandshake        recordType = 22
	recordData             recordType = 23
)

const (
	versionTLS12 = 0x0303

	headerLen = 5 // type, version, length
	blockLen  = aes.BlockSize
	// maxPlaintext and maxCiphertext are the limits of RFC 5246 section 6.2.
	maxPlaintext  = 1 << 14
	maxCiphertext = 1<<14 + 2048
	// maxSealed is the longest record that we send: 16 KiB, an IV, a MAC and a block of padding.
	maxSealed = headerLen + blockLen + maxPlaintext + macLen + blockLen
	// batchLen is how much is written, or read, at once under load: four full records.
	batchLen = 4 * maxSealed
)

type batch [batchLen]byte

// batches serves all connections, for reading and for writing.
var batches = sync.Pool{New: func() any { return new(batch) }}

// appendHeader appends the header of a record with n bytes.
func appendHeader(dst []byte, typ recordType, n int) []byte {
	return append(dst, byte(typ), versionTLS12>>8, versionTLS12&0xFF, byte(n>>8), byte(n))
}

// appendPlain appends a record without protection.
func appendPlain(dst []byte, typ recordType, data []byte) []byte {
	return append(appendHeader(dst, typ, len(data)), data...)
}

// A recordMAC computes HMAC-SHA1 over records of one direction, which it counts.
type recordMAC struct {
	hash.Hash
	seq    uint64
	header [8 + headerLen]byte
	sum    [macLen]byte
}

// begin starts the MAC of the next record, of n bytes.
func (m *recordMAC) begin(typ recordType, n int) {
	m.Reset()
	binary.BigEndian.PutUint64(m.header[:], m.seq)
	m.seq++
	appendHeader(m.header[:8], typ, n)
	m.Write(m.header[:])
}

// end returns the MAC, which is valid until the next one.
func (m *recordMAC) end() []byte { return m.Sum(m.sum[:0]) }

// A sealer protects the records of one direction.
type sealer struct {
	cbc    cipher.BlockMode
	mac    recordMAC
	etm    bool // encrypt-then-MAC, otherwise MAC-then-encrypt
	random func([]byte)
}

func newSealer(keys direction, etm bool, random func([]byte)) *sealer {
	return &sealer{
		cbc:    cipher.NewCBCEncrypter(newBlock(keys.key), make([]byte, blockLen)),
		mac:    recordMAC{Hash: hmac.New(sha1.New, keys.mac)},
		etm:    etm,
		random: random,
	}
}

// seal appends the record for data, which are at most maxPlaintext bytes (RFC 5246 section 6.2.3.2).
//
// The chain of the cipher is never restarted: encrypting a random block gives a random block, which
// is the IV of what follows (RFC 4346 section 6.2.3.2 (2)(a)).
func (s *sealer) seal(dst []byte, typ recordType, data []byte) []byte {
	inner := len(data)
	if !s.etm {
		inner += macLen
	}
	padding := blockLen - inner%blockLen
	n := blockLen + inner + padding // with the IV
	start, sealed := len(dst), headerLen+n
	if s.etm {
		sealed += macLen
	}
	dst = slices.Grow(dst, sealed)[:start+headerLen+n]
	body := dst[start+headerLen:]

	var tag []byte
	if !s.etm {
		s.mac.begin(typ, len(data))
		s.mac.Write(data)
		tag = s.mac.end()
	}
	s.random(body[:blockLen])
	s.cbc.CryptBlocks(body[:blockLen], body[:blockLen])
	whole := len(data) &^ (blockLen - 1)
	s.cbc.CryptBlocks(body[blockLen:blockLen+whole], data[:whole])
	tail := body[blockLen+whole:]
	at := copy(tail, data[whole:])
	at += copy(tail[at:], tag)
	for ; at < len(tail); at++ {
		tail[at] = byte(padding - 1)
	}
	s.cbc.CryptBlocks(tail, tail)
	if s.etm {
		s.mac.begin(typ, n)
		s.mac.Write(body)
		dst = append(dst, s.mac.end()...)
	}
	appendHeader(dst[:start], typ, sealed-headerLen)
	return dst
}

// An opener checks and decrypts the records of one direction.
type opener struct {
	cbc cipher.BlockMode
	mac recordMAC
	etm bool
	iv  [blockLen]byte
}

func newOpener(keys direction, etm bool) *opener {
	h := sha1.New
	if !etm {
		h = newConstantTimeSHA1
	}
	return &opener{
		cbc: cipher.NewCBCDecrypter(newBlock(keys.key), make([]byte, blockLen)),
		mac: recordMAC{Hash: hmac.New(h, keys.mac)},
		etm: etm,
	}
}

// open returns the data of a record. It puts them into dst if there is room for them and what comes
// with them, otherwise in place of the record. Which check failed cannot be told from the error, nor,
// for MAC-then-encrypt, from the time it took.
func (o *opener) open(dst, record []byte) ([]byte, error) {
	typ, body := recordType(record[0]), record[headerLen:]
	good, least := 1, blockLen+(macLen+blockLen)&^(blockLen-1)
	if o.etm {
		n := len(body) - macLen
		if n < 0 {
			return nil, errBadRecord
		}
		o.mac.begin(typ, n)
		o.mac.Write(body[:n])
		if subtle.ConstantTimeCompare(o.mac.end(), body[n:]) != 1 {
			return nil, errBadRecord
		}
		body, least = body[:n], 2*blockLen
	}
	if len(body) < least || len(body)%blockLen != 0 {
		return nil, errBadRecord
	}
	// The first block comes out as nonsense, and becomes the IV of the next.
	o.cbc.CryptBlocks(o.iv[:], body[:blockLen])
	body = body[blockLen:]
	plain := body
	if len(dst) >= len(body) {
		plain = dst[:len(body)]
	}
	o.cbc.CryptBlocks(plain, body)

	var n int
	if o.etm {
		n, good = unpad(plain)
	} else {
		n, good = unpadSecret(plain)
		o.mac.begin(typ, n)
		o.mac.Write(plain[:n])
		tag := o.mac.end()
		// What is not under the MAC is hashed too, so that the time does not depend on n. See
		// constantTimeSHA1 for the rest.
		o.mac.Write(plain[n+macLen:])
		good &= subtle.ConstantTimeCompare(tag, plain[n:n+macLen])
	}
	if good != 1 {
		clear(plain)
		return nil, errBadRecord
	}
	if n > maxPlaintext {
		return nil, refuse(alertRecordOverflow, "record with %d bytes of data; %d are allowed", n, maxPlaintext)
	}
	return plain[:n], nil
}

// errBadRecord is one error for all that may be wrong with a protected record.
var errBadRecord = refuse(alertBadRecordMAC, "a record is not what the peer sealed: MAC or padding are wrong")

// unpad returns the length without padding, and whether the padding was right. The MAC has been
// checked before, so the padding is the peer's and no secret of ours.
func unpad(b []byte) (n, good int) {
	last := b[len(b)-1]
	n = len(b) - int(last) - 1
	if n < 0 {
		return 0, 0
	}
	for _, p := range b[n:] {
		if p != last {
			return 0, 0
		}
	}
	return n, 1
}

// unpadSecret returns the length without MAC and padding, and whether the padding was right, in a
// time that does not depend on either. If it was wrong, all that could be data counts as data, so
// that it goes through the MAC. b is longer than a MAC.
func unpadSecret(b []byte) (n, good int) {
	last := b[len(b)-1]
	good = subtle.ConstantTimeLessOrEq(int(last)+1+macLen, len(b))
	for i := range min(256, len(b)) {
		beyond := 1 ^ subtle.ConstantTimeLessOrEq(i, int(last))
		good &= beyond | subtle.ConstantTimeByteEq(b[len(b)-1-i], last)
	}
	padding := subtle.ConstantTimeSelect(good, int(last), 0)
	return len(b) - padding - 1 - macLen, good
}

// constantTimeSHA1 is SHA-1 with a Sum that takes as long for any number of bytes in the last block,
// which crypto/sha1 offers beside the other.
type constantTimeSHA1 struct {
	hash.Hash
	sum func([]byte) []byte
}

func newConstantTimeSHA1() hash.Hash {
	h := sha1.New()
	if ct, ok := h.(interface{ ConstantTimeSum([]byte) []byte }); ok {
		return &constantTimeSHA1{h, ct.ConstantTimeSum}
	}
	return h
}

func (h *constantTimeSHA1) Sum(b []byte) []byte { return h.sum(b) }
