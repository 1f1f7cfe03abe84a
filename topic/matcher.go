package topic

import (
	"slices"
	"sort"
	"strings"
)

// A Matcher says who is subscribed to what: it maps prefixes to sets of values. It is immutable, so
// any number of goroutines may use one; a change returns a new one that shares what did not change.
// The zero Matcher is empty.
//
// It is a radix tree. Matching a topic walks down the topic once, whatever else there is in the tree.
type Matcher[T comparable] struct{ root *node[T] }

type node[T comparable] struct {
	label    string     // what leads here from the parent
	values   []T        // who is subscribed to exactly this prefix
	children []*node[T] // sorted by the first byte of their labels, which differ
	owner    *owner     // the change that made this node and may still write to it
}

// An owner is the identity of one change. Nodes that it made need not be copied again by it.
type owner struct{ _ byte }

// Insert returns a matcher in which v is subscribed to prefix, too.
func (m Matcher[T]) Insert(prefix string, v T) Matcher[T] {
	return Matcher[T]{m.root.insert(prefix, v, new(owner))}
}

// InsertAll returns a matcher in which v is subscribed to all prefixes, too.
func (m Matcher[T]) InsertAll(prefixes []string, v T) Matcher[T] {
	by := new(owner)
	for _, prefix := range prefixes {
		m.root = m.root.insert(prefix, v, by)
	}
	return m
}

// Remove returns a matcher in which v is not subscribed to prefix.
func (m Matcher[T]) Remove(prefix string, v T) Matcher[T] {
	return Matcher[T]{m.root.remove(prefix, v, new(owner))}
}

// RemoveAll returns a matcher in which v is subscribed to none of prefixes.
func (m Matcher[T]) RemoveAll(prefixes []string, v T) Matcher[T] {
	by := new(owner)
	for _, prefix := range prefixes {
		m.root = m.root.remove(prefix, v, by)
	}
	return m
}

// fewValues is up to how many values finding one by looking at each is faster than a set.
const fewValues = 32

// Match appends to dst every value that is subscribed to a prefix of topic, each once.
func (m Matcher[T]) Match(topic []byte, dst []T) []T {
	begin := len(dst)
	var seen map[T]struct{}
	for n := m.root; n != nil; {
		for _, v := range n.values {
			if len(dst)-begin < fewValues {
				if !slices.Contains(dst[begin:], v) {
					dst = append(dst, v)
				}
				continue
			}
			if seen == nil {
				seen = make(map[T]struct{}, len(dst)-begin+len(n.values))
				for _, v := range dst[begin:] {
					seen[v] = struct{}{}
				}
			}
			if _, ok := seen[v]; !ok {
				seen[v] = struct{}{}
				dst = append(dst, v)
			}
		}
		if len(topic) == 0 {
			break
		}
		i, ok := n.child(topic[0])
		if !ok {
			break
		}
		n = n.children[i]
		if len(topic) < len(n.label) || string(topic[:len(n.label)]) != n.label {
			break
		}
		topic = topic[len(n.label):]
	}
	return dst
}

// Filter returns the prefixes that somebody is subscribed to, without the local ones, as a filter.
func (m Matcher[T]) Filter() Filter {
	var filter Filter
	if m.root != nil {
		m.root.collect("", &filter)
	}
	return filter
}

func (n *node[T]) collect(path string, filter *Filter) {
	path += n.label
	if len(n.values) > 0 {
		if !IsLocal(path) {
			*filter = append(*filter, path)
		}
		return
	}
	for _, child := range n.children {
		child.collect(path, filter)
	}
}

// child returns the index of the child whose label begins with c, or where it would be.
func (n *node[T]) child(c byte) (int, bool) {
	i := sort.Search(len(n.children), func(i int) bool { return n.children[i].label[0] >= c })
	return i, i < len(n.children) && n.children[i].label[0] == c
}

// writable returns n itself if by made it, otherwise a copy.
func (n *node[T]) writable(by *owner) *node[T] {
	if n == nil {
		return &node[T]{owner: by}
	}
	if n.owner == by {
		return n
	}
	return &node[T]{label: n.label, values: slices.Clone(n.values), children: slices.Clone(n.children), owner: by}
}

func (n *node[T]) insert(key string, v T, by *owner) *node[T] {
	n = n.writable(by)
	if key == "" {
		if !slices.Contains(n.values, v) {
			n.values = append(n.values, v)
		}
		return n
	}
	i, ok := n.child(key[0])
	if !ok {
		leaf := &node[T]{label: strings.Clone(key), values: []T{v}, owner: by}
		n.children = slices.Insert(n.children, i, leaf)
		return n
	}
	child := n.children[i]
	shared := commonPrefix(key, child.label)
	if shared < len(child.label) {
		// Split the edge where the two part.
		below := child.writable(by)
		below.label = child.label[shared:]
		child = &node[T]{label: strings.Clone(key[:shared]), children: []*node[T]{below}, owner: by}
	}
	n.children[i] = child.insert(key[shared:], v, by)
	return n
}

func (n *node[T]) remove(key string, v T, by *owner) *node[T] {
	if n == nil {
		return nil
	}
	if key == "" {
		i := slices.Index(n.values, v)
		if i < 0 {
			return n
		}
		n = n.writable(by)
		n.values = slices.Delete(n.values, i, i+1)
		return n
	}
	i, ok := n.child(key[0])
	if !ok || !strings.HasPrefix(key, n.children[i].label) {
		return n
	}
	old := n.children[i]
	child := old.remove(key[len(old.label):], v, by)
	switch {
	case child == old && child.owner != by:
		return n // nothing was removed
	case len(child.values) == 0 && len(child.children) == 0:
		n = n.writable(by)
		n.children = slices.Delete(n.children, i, i+1)
		return n
	case len(child.values) == 0 && len(child.children) == 1:
		// Join the two edges.
		only := child.children[0].writable(by)
		only.label = child.label + only.label
		child = only
	}
	n = n.writable(by)
	n.children[i] = child
	return n
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
