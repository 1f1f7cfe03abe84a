package roles

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A softwareParser finds name and version in what software says of itself: in banners and user agents. It comes to
// what Software::parse comes to, oddities included, since a proxy's log is to be the same.
type softwareParser struct {
	stripsWhole bool // up to 6.1: the separator is cut off what was not trimmed before
}

// pattern compiles a pattern that matches as Zeek's do: the leftmost match, and of those the longest.
func pattern(expr string) *regexp.Regexp {
	re := regexp.MustCompile(expr)
	re.Longest()
	return re
}

var (
	browserStart = pattern(`^(Mozilla|Opera)/[0-9]+\.`)
	pixel        = pattern(`A/[0-9.]*/Google/Pixel`)

	versionText    = pattern(`([/\-_]|( [(v]+))?[0-9\-._, ]{2,}`)
	nameEnd        = pattern(`([/\-_]|( [(v]+))$`)
	nameSeparator  = pattern(`[/\-_]|( [(v]+)`)
	versionStart   = pattern(`^[/\-._v(]`)
	oldStart       = pattern(`\(?[/\-._v(]`) // Zeek has a ^ in it, which once held everywhere
	versionNumbers = pattern(`[\-._,\[({ ]`)
	inParentheses  = pattern(`^[[:blank:]]*\([a-zA-Z0-9\-._[:blank:]]*\)`)
	parentheses    = pattern(`[()]`)
	addlEnd        = pattern(`[\-._,;\[\](){} ]`)
	digits         = pattern(`[0-9]+`)
)

// parse returns name and version.
func (sp softwareParser) parse(s string) (name string, v release) {
	if browserStart.MatchString(s) {
		return sp.browser(s)
	}
	if strings.Contains(s, "/Google/Pixel") && pixel.MatchString(s) {
		segment := strings.Split(s, "/")[1]
		if strings.Contains(segment, ".") {
			_, v = sp.parse(segment)
		} else {
			v.set(0, segment)
		}
		return "Android (Google Pixel)", v
	}
	name = "<parse error>"
	before, version, after, found := cut(unescapeURI(strings.ReplaceAll(s, `\x`, "%")), versionText)
	if nameEnd.MatchString(before) {
		before = trim(without(before, nameSeparator))
	}
	if name = trim(strings.TrimPrefix(before, "(")); name == "Flash Player" {
		name = "Flash"
	}
	if !found {
		return name, v
	}
	sv := trim(version)
	if versionStart.MatchString(sv) {
		if sp.stripsWhole {
			sv = trim(without(version, oldStart))
		} else {
			sv = trim(without(sv, versionStart))
		}
	}
	if after != "" && after != ")" {
		v.setAddl(addl(after))
	}
	for i, text := range versionNumbers.Split(sv, len(v.numbers)) {
		if text != "" {
			v.set(i, text)
		}
	}
	return name, v
}

// addl returns the first word of what follows the numbers, or what there is in parentheses.
func addl(after string) string {
	if inParentheses.MatchString(after) {
		return trim(parentheses.Split(after, 3)[1])
	}
	words := addlEnd.Split(after, 4)
	for _, word := range words[:min(len(words), 3)] {
		if word != "" {
			return trim(word)
		}
	}
	return trim(after)
}

// browsers are tried in their order, on what begins as a browser does.
var browsers = []struct {
	has     []string       // one of these is in it
	is      *regexp.Regexp // and this matches, if it is not nil
	version *regexp.Regexp // where the version stands; nil: special
	name    string         // "": the one in the version
}{
	{[]string{"Opera "}, pattern(`Opera [0-9.]*$`), pattern(`Opera [0-9.]*$`), "Opera"},
	{[]string{" MSIE ", "Trident/"}, nil, nil, "MSIE"},
	{[]string{"Edge/"}, nil, pattern(`Edge/[0-9.]*`), "Edge"},
	{[]string{"Version/"}, pattern(`Version/.*Safari/`), pattern(`Version/[0-9.]*`), "Safari"},
	{[]string{"Firefox/", "Netscape/", "Thunderbird/"}, nil, pattern(`(Firefox|Netscape|Thunderbird)/[0-9.]*`), ""},
	{[]string{"Chrome/"}, pattern(`Chrome/.*Safari/`), pattern(`Chrome/[0-9.]*`), "Chrome"},
	{[]string{"Opera/"}, pattern(`^Opera/`), nil, "Opera"},
	{[]string{"Flash%20Player"}, nil, nil, "Flash"}, // whose version is taken for that of what comes first
	{[]string{"AdobeAIR/"}, nil, pattern(`AdobeAIR/[0-9.]*`), "AdobeAIR"},
	{[]string{"AppleWebKit/"}, nil, pattern(`AppleWebKit/[0-9.]*`), "Unspecified WebKit"},
	{[]string{" Java/"}, pattern(` Java/[0-9]\.`), pattern(`Java/[0-9._]*`), "Java"},
}

var (
	msie      = pattern(`MSIE [0-9]{1,2}\.*[0-9]*b?[0-9]*`)
	mobile    = pattern(` Mobile/?.* Safari`)
	operaKind = pattern(`Opera M(ini|obi)`)
	operaMini = pattern(`Opera Mini/[0-9.]*`)
	opera     = pattern(`Version/[0-9.]*`)
	words     = pattern(`[/ ]`)
)

// tridents are the versions of Internet Explorer by those of its engine.
var tridents = []struct {
	engine string
	major  uint64
}{{"Trident/4.0", 8}, {"Trident/5.0", 9}, {"Trident/6.0", 10}, {"Trident/7.0", 11}}

// browser returns name and version of a browser.
func (sp softwareParser) browser(s string) (name string, v release) {
	for _, b := range browsers {
		switch {
		case !slices.ContainsFunc(b.has, func(part string) bool { return strings.Contains(s, part) }), b.is != nil && !b.is.MatchString(s):
			continue
		case b.name == "MSIE":
			return b.name, sp.explorer(s)
		case b.name == "Opera" && b.version == nil:
			return sp.opera(s)
		case b.name == "Flash":
			_, v = sp.parse(words.Split(s, 3)[1])
		default:
			name, v = sp.parse(b.version.FindString(s))
			if b.name == "Safari" && mobile.MatchString(s) {
				v.setAddl("Mobile")
			}
		}
		if b.name != "" {
			name = b.name
		}
		return name, v
	}
	return "<unknown browser>", v
}

// explorer returns the version of Internet Explorer, which may claim to be an older one.
func (sp softwareParser) explorer(s string) (v release) {
	for _, t := range tridents {
		if strings.Contains(s, t.engine) {
			return release{numbers: [4]uint64{t.major}, has: [5]bool{true, true}}
		}
	}
	if text := msie.FindString(s); text != "" {
		_, v = sp.parse(text)
	}
	return v
}

// opera returns name and version of the older Opera.
func (sp softwareParser) opera(s string) (name string, v release) {
	name = "Opera"
	text := opera.FindString(s)
	if strings.Contains(s, "Opera Mini/") || strings.Contains(s, "Opera Mobi/") {
		name = operaKind.FindString(s)
		if text == "" {
			text = operaMini.FindString(s)
		}
	}
	if text != "" {
		_, v = sp.parse(text)
	}
	return name, v
}

// set sets a number to the first there is in a text, 0 if there is none.
func (r *release) set(i int, text string) {
	r.numbers[i], _ = strconv.ParseUint(digits.FindString(text), 10, 64) // the greatest, if it is greater still
	r.has[i] = true
}

// cut returns what is before a pattern, what matches it, and what is behind.
func cut(s string, re *regexp.Regexp) (before, match, after string, found bool) {
	at := re.FindStringIndex(s)
	if at == nil {
		return s, "", "", false
	}
	return s[:at[0]], s[at[0]:at[1]], s[at[1]:], true
}

// without returns s without the first match of a pattern.
func without(s string, re *regexp.Regexp) string {
	before, _, after, _ := cut(s, re)
	return before + after
}

// trim returns s without white space around it.
func trim(s string) string { return strings.Trim(s, " \t\n\v\f\r") }

// unescapeURI returns s with what is written as %41, and as %u0041 by some, as the bytes meant, as Zeek decodes
// URIs: of %% the first is dropped, and what is neither stays.
func unescapeURI(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		rest := s[i:]
		switch {
		case rest[0] != '%', len(rest) <= 2:
			out = append(out, rest[0])
			if rest[0] == '%' && len(rest) == 2 {
				return string(append(out, rest[1]))
			}
		case rest[1] == '%':
		case hex(rest[1:3]):
			out = append(out, unhex(rest[1:3]))
			i += 2
		case len(rest) >= 6 && rest[1] == 'u' && hex(rest[2:6]):
			if rest[2:4] != "00" {
				out = append(out, unhex(rest[2:4]))
			}
			out = append(out, unhex(rest[4:6]))
			i += 5
		default:
			out = append(out, rest[0], rest[1])
			i++
		}
	}
	return string(out)
}

// hex tells whether a text consists of hexadecimal digits.
func hex(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// unhex returns the byte that two such digits stand for.
func unhex(s string) byte {
	n, _ := strconv.ParseUint(s, 16, 8)
	return byte(n)
}
