package data

import (
	"slices"
	"sort"
	"unsafe"
)

// Set returns a set of elems. It copies and sorts them and drops duplicates.
func Set(elems ...Value) Value {
	sorted := slices.Clone(elems)
	slices.SortFunc(sorted, Compare)
	return setOf(slices.CompactFunc(sorted, Value.Equal))
}

// setOf makes a set of elements that are sorted and differ.
func setOf(elems []Value) Value {
	return Value{kind: KindSet, num: uint64(len(elems)), ptr: unsafe.Pointer(unsafe.SliceData(elems))}
}

// Contains tells whether elem is in the set v. It is false for every other kind.
func (v Value) Contains(elem Value) bool {
	if v.kind != KindSet {
		return false
	}
	_, found := slices.BinarySearchFunc(v.Elems(), elem, Compare)
	return found
}

// Table returns a table of entries. It copies and sorts them; of two entries with the same key the
// later one counts.
func Table(entries ...Entry) Value {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b Entry) int { return a.Key.Compare(b.Key) })
	unique := sorted[:0]
	for _, e := range sorted {
		if n := len(unique); n > 0 && unique[n-1].Key.Equal(e.Key) {
			unique[n-1] = e
		} else {
			unique = append(unique, e)
		}
	}
	return tableOf(unique)
}

// tableOf makes a table of entries whose keys are sorted and differ.
func tableOf(entries []Entry) Value {
	return Value{kind: KindTable, num: uint64(len(entries)), ptr: unsafe.Pointer(unsafe.SliceData(entries))}
}

// containerOf makes a container of the values that it holds, the keys and values of a table by turns.
// It keeps them and brings those of a set or table into order; of duplicates it drops all but the first.
func containerOf(kind Kind, slots []Value) Value {
	switch {
	case len(slots) == 0:
		return Value{kind: kind} // no room of an Entry need be left where slots points
	case kind == KindSet:
		if !ascending(slots, 1) {
			slices.SortStableFunc(slots, Compare)
			slots = slices.CompactFunc(slots, Value.Equal)
		}
		return setOf(slots)
	case kind == KindTable:
		entries := unsafe.Slice((*Entry)(unsafe.Pointer(unsafe.SliceData(slots))), len(slots)/2)
		if !ascending(slots, 2) {
			slices.SortStableFunc(entries, func(a, b Entry) int { return a.Key.Compare(b.Key) })
			entries = slices.CompactFunc(entries, func(a, b Entry) bool { return a.Key.Equal(b.Key) })
		}
		return tableOf(entries)
	}
	return Vector(slots...)
}

// ascending tells whether of slots every step-th, that is the elements of a set or the keys of a
// table, is greater than the one before, which is so very often.
func ascending(slots []Value, step int) bool {
	for i := step; i < len(slots); i += step {
		a, b := &slots[i-step], &slots[i]
		if a.kind == KindString && b.kind == KindString {
			if a.str() >= b.str() {
				return false
			}
		} else if a.Compare(*b) >= 0 {
			return false
		}
	}
	return true
}

// Lookup returns what stands under key in the table v. ok is false if there is nothing, or if v is
// of another kind.
func (v Value) Lookup(key Value) (value Value, ok bool) {
	entries := v.Entries()
	i, found := sort.Find(len(entries), func(i int) int { return key.Compare(entries[i].Key) })
	if !found {
		return Value{}, false
	}
	return entries[i].Value, true
}
