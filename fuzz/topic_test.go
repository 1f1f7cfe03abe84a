package fuzz

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/topic"
)

// A subscription is who is subscribed to what.
type subscription struct {
	prefix string
	who    byte
}

// A matcher does what a list of subscriptions does, and no change shows in an older matcher. A script
// has a line for each change: + or -, who, and the prefix.
func FuzzMatcher(f *testing.F) {
	f.Add("+a/x/y\n+b/x\n-a/x/y\n+a\n+c/xy", "/x/y/z")
	f.Add("+a<$>/local/x\n+b<$>/\n-b<$>/\n+b/é", "<$>/local/x")
	f.Add("+aab\n+bac\n-aab\n-bac\n+a\n", "ab")
	f.Fuzz(func(t *testing.T, script, name string) {
		model := map[subscription]bool{}
		var m, old topic.Matcher[byte]
		var oldModel map[subscription]bool
		lines := strings.Split(script, "\n")
		for i, line := range lines {
			if i == len(lines)/2 {
				old, oldModel = m, maps.Clone(model)
			}
			if len(line) < 2 {
				continue
			}
			s := subscription{who: line[1], prefix: line[2:]}
			if line[0] == '-' {
				m = m.Remove(s.prefix, s.who)
				delete(model, s)
			} else {
				m = m.Insert(s.prefix, s.who)
				model[s] = true
			}
		}
		checkMatcher(t, m, model, name)
		checkMatcher(t, old, oldModel, name)
		for s := range model {
			checkMatcher(t, m, model, s.prefix+"x")
		}
		byWho := map[byte][]string{}
		for s := range model {
			byWho[s.who] = append(byWho[s.who], s.prefix)
		}
		var bulk topic.Matcher[byte]
		for who, prefixes := range byWho {
			bulk = bulk.InsertAll(prefixes, who)
		}
		checkMatcher(t, bulk, model, name)
		for who, prefixes := range byWho {
			bulk = bulk.RemoveAll(prefixes, who)
		}
		checkMatcher(t, bulk, nil, name)
		checkMatcher(t, m, model, name)
	})
}

func checkMatcher(t *testing.T, m topic.Matcher[byte], model map[subscription]bool, name string) {
	t.Helper()
	want := map[byte]bool{}
	var prefixes []string
	for s := range model {
		if strings.HasPrefix(name, s.prefix) {
			want[s.who] = true
		}
		prefixes = append(prefixes, s.prefix)
	}
	got := m.Match([]byte(name), nil)
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("%q is for %q, want %v", name, got, want)
	}
	filter := slices.DeleteFunc(topic.NewFilter(prefixes...), topic.IsLocal)
	if !slices.Equal(m.Filter(), filter) {
		t.Fatalf("the filter of %v is %q, want %q", model, m.Filter(), filter)
	}
	if matches := topic.NewFilter(prefixes...).Matches(name); matches != (len(want) > 0) {
		t.Fatalf("the filter of %v matches %q: %v", model, name, matches)
	}
}
