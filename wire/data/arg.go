package data

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// looksLikeNumber recognises what somebody surely did not mean as a string.
var looksLikeNumber = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

// ParseArg parses a value as people write it on a command line. A word is a string. Every other kind
// has its name before it:
//
//	count:5  int:-3  real:1.5  bool:T  addr:10.0.0.1  subnet:10.0.0.0/8  port:80/tcp
//	time:2026-01-31T23:59:59Z  time:1700000000.5  interval:1.5s  enum:Conn::LOG  string:5  none:
//	json:{"@data-type":"set","data":[]}
//
// A number alone is an error that says how to write it as a count or an int. A word with another
// name before a colon, such as http://x, is a string.
func ParseArg(s string) (Value, error) {
	kind, text, found := strings.Cut(s, ":")
	if parse := argKinds[kind]; found && parse != nil {
		v, err := parse(text)
		if err != nil {
			return Value{}, fmt.Errorf("%s: %w", s, err)
		}
		return v, nil
	}
	if looksLikeNumber.MatchString(s) {
		if strings.Contains(s, ".") {
			return Value{}, fmt.Errorf("%s may be a real or a string: write real:%s or string:%s", s, s, s)
		}
		digits := strings.TrimLeft(s, "+-")
		return Value{}, fmt.Errorf("%s may be a count, an int or a string: write count:%s, int:%s or string:%s", s, digits, strings.TrimPrefix(s, "+"), s)
	}
	return String(s), nil
}

var argKinds = map[string]func(string) (Value, error){
	"string": func(s string) (Value, error) { return String(s), nil },
	"enum":   func(s string) (Value, error) { return Enum(s), nil },
	"none": func(s string) (Value, error) {
		if s != "" {
			return Value{}, errors.New("none holds nothing: write \"none:\" alone")
		}
		return None(), nil
	},
	"bool": func(s string) (Value, error) {
		switch s {
		case "T", "true":
			return Bool(true), nil
		case "F", "false":
			return Bool(false), nil
		}
		return Value{}, fmt.Errorf("%q is no bool: write T or F", s)
	},
	"count": func(s string) (Value, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%q is no count, which is 0 to 18446744073709551615", s)
		}
		return Count(n), nil
	},
	"int": func(s string) (Value, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%q is no int, which is -9223372036854775808 to 9223372036854775807", s)
		}
		return Int(n), nil
	},
	"real": func(s string) (Value, error) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%q is no real, such as 1.5 or 1e-9", s)
		}
		return Real(f), nil
	},
	"addr":     func(s string) (Value, error) { return parseScalar(KindAddr, s, true) },
	"subnet":   func(s string) (Value, error) { return parseScalar(KindSubnet, s, true) },
	"port":     func(s string) (Value, error) { return parseScalar(KindPort, s, true) },
	"interval": func(s string) (Value, error) { return parseScalar(KindTimespan, s, true) },
	"time":     parseArgTime,
	"json":     func(s string) (Value, error) { return ParseJSON([]byte(s), StrictJSON) },
}

// parseArgTime takes a time as JSON writes it, or seconds since 1970.
func parseArgTime(s string) (Value, error) {
	if looksLikeNumber.MatchString(s) {
		if v, err := parseTimespan(s+"s", false); err == nil {
			d, _ := v.AsTimespan()
			return Timestamp(int64(d)), nil
		}
		return Value{}, fmt.Errorf("%q seconds since 1970 do not fit 64 bits of nanoseconds", s)
	}
	if s == "now" {
		return Time(time.Now()), nil
	}
	return parseTime(s)
}
