package anontls

import "golang.org/x/crypto/cryptobyte"

const (
	extSupportedGroups      = 10
	extPointFormats         = 11
	extEncryptThenMAC       = 22
	extExtendedMasterSecret = 23
	extSupportedVersions    = 43
	extRenegotiationInfo    = 0xFF01
)

// extensions are those of a hello that matter here. All others of a ClientHello are ignored: key
// shares and versions of TLS 1.3, signature algorithms, tickets, names.
type extensions struct {
	groups             []uint16 // nil if absent, as the next two
	points             []byte
	versions           []uint16
	etm, ems           bool
	renegotiation      bool
	renegotiationBytes []byte // nothing or zero bytes in a first handshake
}

// append writes the extensions, or nothing if there are none.
func (e *extensions) append(b *cryptobyte.Builder) {
	if e.groups == nil && e.points == nil && e.versions == nil && !e.etm && !e.ems && !e.renegotiation {
		return
	}
	add := func(b *cryptobyte.Builder, typ uint16, body func(*cryptobyte.Builder)) {
		b.AddUint16(typ)
		b.AddUint16LengthPrefixed(body)
	}
	empty := func(*cryptobyte.Builder) {}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		if e.renegotiation {
			add(b, extRenegotiationInfo, func(b *cryptobyte.Builder) {
				b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.renegotiationBytes) })
			})
		}
		if e.points != nil {
			add(b, extPointFormats, func(b *cryptobyte.Builder) {
				b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.points) })
			})
		}
		if e.groups != nil {
			add(b, extSupportedGroups, func(b *cryptobyte.Builder) { addUint16s(b, e.groups) })
		}
		if e.etm {
			add(b, extEncryptThenMAC, empty)
		}
		if e.ems {
			add(b, extExtendedMasterSecret, empty)
		}
		if e.versions != nil {
			add(b, extSupportedVersions, func(b *cryptobyte.Builder) {
				b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
					for _, v := range e.versions {
						b.AddUint16(v)
					}
				})
			})
		}
	})
}

// parse reads the extensions at the end of the message typ. A ServerHello must not have any that our
// ClientHello never has (RFC 5246 section 7.4.1.4).
func (e *extensions) parse(typ messageType, s cryptobyte.String) error {
	if s.Empty() {
		return nil
	}
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return malformed(typ)
	}
	var seen [1 << 16 / 64]uint64
	for !list.Empty() {
		var ext uint16
		var body cryptobyte.String
		if !list.ReadUint16(&ext) || !list.ReadUint16LengthPrefixed(&body) {
			return malformed(typ)
		}
		if seen[ext/64]&(1<<(ext%64)) != 0 {
			return refuse(alertIllegalParameter, "%v with extension %d twice", typ, ext)
		}
		seen[ext/64] |= 1 << (ext % 64)

		var inner cryptobyte.String
		ok := true
		switch {
		case ext == extRenegotiationInfo:
			e.renegotiation = true
			ok = body.ReadUint8LengthPrefixed(&inner)
			e.renegotiationBytes = inner
		case ext == extPointFormats:
			ok = body.ReadUint8LengthPrefixed(&inner) && len(inner) > 0
			e.points = inner
		case ext == extSupportedGroups:
			ok = body.ReadUint16LengthPrefixed(&inner) && len(inner) > 0 && readUint16s(inner, &e.groups)
		case ext == extEncryptThenMAC:
			e.etm = true
		case ext == extExtendedMasterSecret:
			e.ems = true
		case typ == typeServerHello:
			return refuse(alertUnsupportedExtension, "ServerHello with extension %d, which was not offered", ext)
		case ext == extSupportedVersions:
			ok = body.ReadUint8LengthPrefixed(&inner) && len(inner) > 0 && readUint16s(inner, &e.versions)
		default:
			body = nil
		}
		if !ok || !body.Empty() {
			return refuse(alertDecodeError, "%v with a malformed extension %d", typ, ext)
		}
	}
	return nil
}
