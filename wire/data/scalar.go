package data

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseScalar parses an address, subnet, port, time or timespan as JSON writes them. With anyDialect
// a timespan may have a fraction.
func parseScalar(kind Kind, text string, anyDialect bool) (Value, error) {
	switch kind {
	case KindAddr:
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return Addr(a), nil
		}
		return Value{}, fmt.Errorf("%q is no address, such as 10.0.0.1 or 2001:db8::1", text)
	case KindSubnet:
		if p, err := netip.ParsePrefix(text); err == nil {
			return Subnet(p), nil
		}
		return Value{}, fmt.Errorf("%q is no subnet, such as 10.0.0.0/8 or 2001:db8::/32", text)
	case KindPort:
		return parsePort(text)
	case KindTime:
		return parseTime(text)
	}
	return parseTimespan(text, anyDialect)
}

// parsePort parses 80/tcp; a number alone has the protocol tcp, as the reference reads it.
func parsePort(text string) (Value, error) {
	number, proto, found := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err == nil && !found {
		return Port(uint16(n), ProtoTCP), nil
	}
	if proto == "unknown" {
		proto = "?"
	}
	for p, name := range protoNames {
		if err == nil && proto == name {
			return Port(uint16(n), Proto(p)), nil
		}
	}
	return Value{}, fmt.Errorf("%q is no port, such as 80/tcp, 53/udp, 8/icmp or 0/?", text)
}

// parseTime parses a time in UTC, or with Z or an offset behind it.
func parseTime(text string) (Value, error) {
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil { // takes a fraction, too
			v := Time(t)
			if nearest, _ := v.AsTime(); !nearest.Equal(t) {
				return Value{}, fmt.Errorf("time %q does not fit 64 bits of nanoseconds", text)
			}
			return v, nil
		}
	}
	return Value{}, fmt.Errorf("%q is no time, such as 2026-01-31T23:59:59.123", text)
}

var timespanUnits = []struct {
	name string
	ns   int64
}{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"min", 60e9}, {"s", 1e9}, {"h", 3600e9}, {"d", 86400e9}}

// parseTimespan parses a number and a unit: ns, us, ms, s, min or h, and in other dialects d.
func parseTimespan(text string, anyDialect bool) (Value, error) {
	i := strings.LastIndexFunc(text, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' }) + 1
	number, unit := text[:i], text[i:]
	for _, u := range timespanUnits {
		if u.name != unit || unit == "d" && !anyDialect {
			continue
		}
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			if n > math.MaxInt64/u.ns || n < math.MinInt64/u.ns {
				return Value{}, fmt.Errorf("interval %q does not fit 64 bits of nanoseconds", text)
			}
			return Timespan(time.Duration(n * u.ns)), nil
		}
		// 1.5s: exactly, digit by digit, since a float would round large ones.
		if d, ok := fraction(number, u.ns); ok {
			return Timespan(d), nil
		}
	}
	return Value{}, fmt.Errorf("%q is no interval, such as 10ms or 1.5s; units are ns, us, ms, s, min and h", text)
}

// fraction returns number times ns, where number has a point. What is below a nanosecond is cut off.
func fraction(number string, ns int64) (time.Duration, bool) {
	whole, digits, found := strings.Cut(number, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if !found || err != nil || n > math.MaxInt64/ns-1 || n < math.MinInt64/ns+1 {
		return 0, false
	}
	var part int64
	unit := ns
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		// unit/10 keeps a remainder for units that are no power of ten: scale what is left instead.
		part += int64(c-'0') * unit / 10
		unit /= 10
	}
	if strings.HasPrefix(whole, "-") {
		part = -part
	}
	return time.Duration(n*ns + part), true
}
