package roles

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestParseSoftware: what software says of itself comes apart as in Zeek, also where that is odd.
func TestParseSoftware(t *testing.T) {
	for _, c := range []struct{ said, name, version string }{
		{"", "", "0"},
		{"nginx", "nginx", "0"},
		{"nginx/1.18.0", "nginx", "1.18.0"},
		{"nginx/1.18.0 (Ubuntu)", "nginx", "1.18.0-Ubuntu"},
		{"OpenSSH_8.9p1 Ubuntu-3ubuntu0.6", "OpenSSH", "8.9-p1"},
		{"dropbear_2022.83", "dropbear", "2022.83"},
		{"python-requests/2.31.0", "python-requests", "2.31.0"},
		{"SimpleHTTP/0.6 Python/3.10.6", "SimpleHTTP", "0.6-Python/3"},
		{"thing-1.2.3.4.5.6", "thing", "1.2.3.4"}, // there is no fifth number
		{"thing7", "thing7", "0"},                 // a version is two characters at least
		{"thing 7", "thing", "7"},                 // and here they are
		{"thing 17", "thing", "17"},
		{"thing/", "thing", "0"},
		{"a-b-", "ab-", "0"}, // the first separator goes, and not the last
		{"(thing 1.2.3)", "thing", "1.2.3"},
		{"thing (1.2) extra", "thing", "1.2-extra"},
		{"thing ((1.2)", "thing", "0.1.2"},
		{"thing 1.2)", "thing", "1.2"},
		{"thing 1.2 ((x)", "thing", "1.2-x"},
		{"thing 1.2 (!)", "thing", "1.2-!"},
		{"thing 1.2();;", "thing", "1.2-"},
		{"thing 1.2;;;x", "thing", "1.2-;;;x"},
		{"thing/18446744073709551616.1", "thing", "18446744073709551615.1"},
		{"Flash%20Player/26.0.0.137 CFNetwork/811.5.4", "Flash", "26.0.0.137-CFNetwork/811"},
		{`\x41\x42/1.2`, "AB", "1.2"},
		{"%u0041%u0142%%41%4/1.2", "A\x01BA%4", "1.2"},
		{"x1.2%", "x", "1.2-%"},
		{"A/9/Google/Pixel#2", "Android (Google Pixel)", "9"},
		{"A/8.1.0/Google/Pixel", "Android (Google Pixel)", "8.1.0"},
		{"xA/8.1/Google/Pixel", "Android (Google Pixel)", "8.1"},

		{"Mozilla/5.0", "<unknown browser>", "0"},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/118.0", "Firefox", "118.0"},
		{"Mozilla/5.0 (X11) Gecko/20100101 Firefox/", "Firefox", "0"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.71 Safari/537.36", "Chrome", "120.0.6099.71"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.71 Safari/537.36 Edge/12.3", "Edge", "12.3"},
		{"Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15", "Safari", "17.1"},
		{"Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1", "Safari", "17.1-Mobile"},
		{"Mozilla/5.0 (Macintosh) AppleWebKit/605.1 (KHTML, like Gecko)", "Unspecified WebKit", "605.1"},
		{"Mozilla/5.0 (Macintosh) AppleWebKit/605.1 AdobeAIR/2.5", "AdobeAIR", "2.5"},
		{"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "MSIE", "6.0"},
		{"Mozilla/4.0 (compatible; MSIE 7.0b; Windows NT 5.1)", "MSIE", "7.0-b"},
		{"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/6.0)", "MSIE", "10.0"},
		{"Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko", "MSIE", "11.0"},
		{"Mozilla/5.0 (Windows NT 6.3; Trident/9.0; rv:11.0) like Gecko", "MSIE", "0"},
		{"Mozilla/4.0 (Linux) Java/1.6.0_13", "Java", "1.6.0.13"},
		{"Mozilla/4.0 Flash%20Player", "Flash", "4.0"}, // of what comes first
		{"Mozilla/4.0 (compatible; MSIE 8.0; en) Opera 11.00", "Opera", "11.0"},
		{"Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.18", "Opera", "12.18"},
		{"Opera/9.80 (Windows NT 6.1)", "Opera", "0"},
		{"Opera/9.80 (Android; Opera Mini/36.2/119.132; U) Presto/2.12.423 Version/12.16", "Opera Mini", "12.16"},
		{"Opera/9.80 (Android; Opera Mini/36.2/119.132; U)", "Opera Mini", "36.2"},
		{"Opera/9.80 (Android; Opera Mobi/36.2; U)", "Opera Mobi", "0"},
	} {
		name, v := softwareParser{}.parse(c.said)
		if name != c.name || v.String() != c.version {
			t.Errorf("%q: %q %q, want %q %q", c.said, name, v.String(), c.name, c.version)
		}
	}
	// Up to 6.1 one parenthesis more was cut off.
	if name, v := (softwareParser{stripsWhole: true}).parse("thing ((1.2)"); name != "thing" || v.String() != "1.2" {
		t.Errorf("%q %q", name, v.String())
	}
}

// TestParseAnySoftware: whatever somebody says of himself does no harm.
func TestParseAnySoftware(t *testing.T) {
	parts := []string{"Mozilla/5.0 ", "Opera/9.8 ", "Opera Mini/", "Version/", " MSIE ", "Trident/", "Flash%20Player", "A/", "/Google/Pixel", "%", "\\x", "%u00", "(", ")", "/", " ", "1.2", "9", "_", "Safari/", "Java/1.", "\xff", "\n"}
	rapid.Check(t, func(rt *rapid.T) {
		said := strings.Join(rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(parts), rapid.String())).Draw(rt, "said"), "")
		for _, old := range []bool{false, true} {
			name, v := softwareParser{stripsWhole: old}.parse(said)
			if len(name) > len(said)+32 || len(v.addl) > len(said) {
				rt.Errorf("%q: %q %q", said, name, v.String())
			}
		}
	})
}
