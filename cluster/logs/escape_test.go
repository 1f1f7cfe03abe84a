package logs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

func TestEscape(t *testing.T) {
	columns, elems := []string{"\t"}, []string{"\t", ","}
	for _, c := range []struct {
		text  string
		seps  []string
		ascii bool
		want  string
	}{
		{text: "plain text", seps: columns, want: "plain text"},
		{text: `a\b`, seps: columns, want: `a\\b`},
		{text: "a\tb,c", seps: columns, want: `a\x09b,c`},
		{text: "a\tb,c", seps: elems, want: `a\x09b\x2cc`},
		{text: "line\r\nnext\x00\x7f", seps: columns, want: `line\x0d\x0anext\x00\x7f`},
		{text: "Füße 日本 🎉", seps: columns, want: "Füße 日本 🎉"},
		{text: "Füße", seps: columns, ascii: true, want: `F\xc3\xbc\xc3\x9fe`},
		{text: "ü\xff", seps: columns, want: `\xc3\xbc\xff`},                                               // one bad byte, and all are
		{text: "ü\nä", seps: columns, want: `\xc3\xbc\x0a\xc3\xa4`},                                        // a control is one
		{text: "ü\\\xff", seps: columns, want: `ü\\\xff`},                                                  // but only up to what is escaped anyway
		{text: "ü\t\xff\tä", seps: columns, want: "ü" + `\x09\xff\x09` + "ä"},                              //
		{text: "\u00a0\u0085", seps: columns, want: `\xc2\xa0\xc2\x85`},                                    // C1
		{text: "\ue000", seps: columns, want: `\xee\x80\x80`},                                              // private use
		{text: "\uf900\uffef", seps: columns, want: "\uf900\uffef"},                                        //
		{text: "\ufffd", seps: columns, want: `\xef\xbf\xbd`},                                              // special
		{text: "\U000f0000\U0010ffff", seps: columns, want: "\U000f0000\U0010ffff"},                        // not refused
		{text: "\xed\xa0\x80", seps: columns, want: `\xed\xa0\x80`},                                        // surrogate
		{text: "\xe6\x97", seps: columns, want: `\xe6\x97`},                                                // cut short
		{text: "a||b|c", seps: []string{"||"}, want: `a\x7c\x7cb|c`},                                       //
		{text: strings.Repeat("x", 99) + "|", seps: []string{"|"}, want: strings.Repeat("x", 99) + `\x7c`}, //
	} {
		e := escaper{seps: c.seps, utf8: !c.ascii}
		if got := string(e.append([]byte("."), []byte(c.text))); got != "."+c.want {
			t.Errorf("%q: %q, want %q", c.text, got[1:], c.want)
		}
	}
}

func TestEscapeJSON(t *testing.T) {
	for text, want := range map[string]string{
		"plain / text":      "plain / text",
		`a"b\c`:             `a\"b\\c`,
		"\b\f\n\r\t":        `\b\f\n\r\t`,
		"é\n":               `é\n`,
		"é\x01":             `\\xc3\\xa9\\x01`,
		"\x00\x1b\x7f":      `\\x00\\x1b\\x7f`,
		"é\xff\n\"":         `\\xc3\\xa9\\xff\n\"`,
		"\u0085":            `\\xc2\\x85`,
		"\ue001 \U0010ffff": `\\xee\\x80\\x81 \\xf4\\x8f\\xbf\\xbf`,
	} {
		if got := string(appendJSON(nil, []byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// putText finds every special byte wherever it stands, and copies everything else, with and without
// bytes behind the text.
func TestPutText(t *testing.T) {
	plain := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog ~!#(", 2))
	for size := range 40 {
		for _, behind := range []int{0, 1, 7, 8, 40} {
			from := plain[: size+behind : size+behind]
			out := make([]byte, size+9)
			if n, ok := putText(out, 1, from, size, each('|')); !ok || n != size+1 || string(out[1:n]) != string(plain[:size]) {
				t.Fatalf("%d bytes of %d: %q, %v", size, len(from), out[1:n], ok)
			}
			for at := range size {
				for b := range 256 {
					text := []byte(string(from))
					text[at] = byte(b)
					want := b >= ' ' && b <= '~' && b != '\\' && b != '|'
					if _, ok := putText(out, 1, text, size, each('|')); ok != want {
						t.Fatalf("byte %#x at %d of %d: %v", b, at, size, ok)
					}
				}
			}
			for i := range behind { // what is behind does not matter
				text := []byte(string(from))
				text[size+i] = 0xff
				if _, ok := putText(out, 1, text, size, each('|')); !ok {
					t.Fatalf("%d bytes: a byte %d behind them", size, i)
				}
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	for want, text := range map[string]string{
		"0.0.0.0": "", "255.255.255.255": "", "1.20.103.4": "",
		"::": "", "::1": "", "::2": "", "1::": "", "2001:db8::1": "", "2001:db8:0:1:1:1:1:1": "", "fe80::a:0:0:1": "",
		"1:0:0:2::3": "", "1::2:0:0:3": "", "ffff:1:22:333:4444:a:bc:def0": "", "0:0:1::": "", "1:2:3:4:5:6::": "", "0:2:3:4:5:6:7:8": "",
		"::1.2.3.4":          "::102:304",
		"::ffff:1.2.3.4":     "",
		"::ffff:0:1.2.3.4":   "::ffff:0:102:304",
		"::fffe:102:304":     "",
		"::ffff:1:102:304":   "",
		"64:ff9b::102:304":   "",
		"::ffff:0.0.0.0":     "",
		"::1:0:0":            "",
		"::ffff:0:255.0.0.1": "::ffff:0:ff00:1",
	} {
		if text == "" {
			text = want
		}
		addr := netip.MustParseAddr(text)
		packed := append([]byte{6}, addr.AsSlice()...)
		if addr.Is4() {
			packed[0] = 4
		}
		out := make([]byte, 64)
		if n, size := putAddr(out, 0, zeek.LogAddr, packed); string(out[:n]) != want || size != len(packed) {
			t.Errorf("%s: %s, want %s", text, out[:n], want)
		}
		bits, suffix := byte(125), "/125"
		if addr.Is4() {
			suffix = "/29"
		}
		if n, size := putAddr(out, 0, zeek.LogSubnet, append([]byte{bits}, packed...)); string(out[:n]) != want+suffix || size != 1+len(packed) {
			t.Errorf("%s%s: %s", text, suffix, out[:n])
		}
		for cut := range packed {
			if _, size := putAddr(out, 0, zeek.LogAddr, packed[:cut]); size != 0 {
				t.Errorf("%s: %d of %d bytes are enough", text, cut, len(packed))
			}
		}
	}
	out := make([]byte, 64)
	for name, packed := range map[string][]byte{
		"nothing": {}, "family 5": {100, 5, 1, 2, 3, 4}, "longer than IPv4": {129, 4, 1, 2, 3, 4},
		"shorter than nothing": {95, 4, 1, 2, 3, 4}, "longer than IPv6": append([]byte{129, 6}, make([]byte, 16)...),
	} {
		if n, size := putAddr(out, 0, zeek.LogSubnet, packed); size != 0 {
			t.Errorf("%s: %s", name, out[:n])
		}
	}
}
