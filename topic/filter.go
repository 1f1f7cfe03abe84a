package topic

import (
	"slices"
	"strings"
)

// A Filter is a set of prefixes, sorted, in which none is a prefix of another. It says what a node is
// subscribed to.
type Filter []string

// NewFilter returns the smallest filter that matches what any of topics matches.
func NewFilter(topics ...string) Filter {
	sorted := slices.Clone(topics)
	slices.Sort(sorted)
	minimal := sorted[:0]
	for _, prefix := range sorted {
		// A prefix sorts right before all that it covers.
		if n := len(minimal); n == 0 || !strings.HasPrefix(prefix, minimal[n-1]) {
			minimal = append(minimal, prefix)
		}
	}
	return Filter(minimal)
}

// Matches tells whether some prefix of the filter is a prefix of topic.
func (f Filter) Matches(topic string) bool {
	i, found := slices.BinarySearch(f, topic)
	return found || i > 0 && strings.HasPrefix(topic, f[i-1])
}
