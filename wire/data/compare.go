package data

import (
	"cmp"
	"math"
	"strings"
)

// Compare orders all values as the reference does: by kind, then by value. It returns -1, 0 or +1.
// Addresses are compared as 128-bit numbers, subnets by address then length, ports by number then
// protocol, containers element by element. NaN equals itself and comes before all other reals; -0
// equals 0.
func (v Value) Compare(w Value) int {
	if v.kind != w.kind {
		return cmp.Compare(v.kind, w.kind)
	}
	switch v.kind {
	case KindBool, KindCount:
		return cmp.Compare(v.num, w.num)
	case KindInt, KindTime, KindTimespan:
		return cmp.Compare(int64(v.num), int64(w.num))
	case KindReal:
		return cmp.Compare(math.Float64frombits(v.num), math.Float64frombits(w.num))
	case KindString, KindEnum:
		return strings.Compare(v.str(), w.str())
	case KindAddr:
		return cmp.Or(cmp.Compare(v.num, w.num), cmp.Compare(v.low, w.low))
	case KindSubnet:
		return cmp.Or(cmp.Compare(v.num, w.num), cmp.Compare(v.low, w.low), cmp.Compare(v.aux, w.aux))
	case KindPort:
		return cmp.Or(cmp.Compare(v.num, w.num), cmp.Compare(v.aux, w.aux))
	case KindSet, KindVector:
		a, b := v.Elems(), w.Elems()
		for i := range min(len(a), len(b)) {
			if c := a[i].Compare(b[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a), len(b))
	case KindTable:
		a, b := v.Entries(), w.Entries()
		for i := range min(len(a), len(b)) {
			if c := compareEntries(a[i], b[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a), len(b))
	}
	return 0
}

func compareEntries(a, b Entry) int {
	if c := a.Key.Compare(b.Key); c != 0 {
		return c
	}
	return a.Value.Compare(b.Value)
}

// Equal tells whether v and w are the same value of the same kind.
func (v Value) Equal(w Value) bool { return v.Compare(w) == 0 }

// Compare orders two values like [Value.Compare], for slices.SortFunc and the like.
func Compare(v, w Value) int { return v.Compare(w) }
