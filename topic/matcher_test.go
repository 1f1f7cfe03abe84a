package topic

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The matcher does what a list of pairs would do, and no change is seen in an older matcher.
func TestMatcherAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			prefix string
			v      int
		}
		names := rapid.StringMatching(`[ab/]{0,6}|<\$>/local/[ab]{0,2}`)
		model := map[entry]bool{}
		var m Matcher[int]
		check := func(m Matcher[int], model map[entry]bool) {
			name := names.Draw(t, "topic")
			want := []int{}
			var prefixes []string
			for e := range model {
				if strings.HasPrefix(name, e.prefix) && !slices.Contains(want, e.v) {
					want = append(want, e.v)
				}
				prefixes = append(prefixes, e.prefix)
			}
			got := append([]int{}, m.Match([]byte(name), nil)...)
			slices.Sort(got)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("match %q in %v: %s", name, model, d)
			}
			filter := slices.DeleteFunc(NewFilter(prefixes...), IsLocal)
			if d := cmp.Diff([]string(filter), append([]string{}, m.Filter()...)); d != "" && len(filter) > 0 {
				t.Fatalf("filter of %v: %s", model, d)
			}
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			old, oldModel := m, map[entry]bool{}
			for e := range model {
				oldModel[e] = true
			}
			prefixes := rapid.SliceOfN(names, 1, 4).Draw(t, "prefixes")
			v := rapid.IntRange(0, 40).Draw(t, "v")
			if rapid.Bool().Draw(t, "insert") {
				if len(prefixes) == 1 {
					m = m.Insert(prefixes[0], v)
				} else {
					m = m.InsertAll(prefixes, v)
				}
				for _, p := range prefixes {
					model[entry{p, v}] = true
				}
			} else {
				if len(prefixes) == 1 {
					m = m.Remove(prefixes[0], v)
				} else {
					m = m.RemoveAll(prefixes, v)
				}
				for _, p := range prefixes {
					delete(model, entry{p, v})
				}
			}
			check(m, model)
			check(old, oldModel)
		}
	})
}

func TestMatcherManyValues(t *testing.T) {
	var m Matcher[int]
	for i := range 3 * fewValues {
		m = m.Insert("/a", i).Insert("/a/b", i).Insert("", i)
	}
	if got := len(m.Match([]byte("/a/b/c"), nil)); got != 3*fewValues {
		t.Errorf("%d values, want %d, each once", got, 3*fewValues)
	}
}

func TestFilter(t *testing.T) {
	f := NewFilter("/a/b", "/c", "/a", "/cd", "/a")
	if d := cmp.Diff(Filter{"/a", "/c"}, f); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]bool{"/a": true, "/ab": true, "/c/x": true, "/b": false, "": false, "/": false} {
		if f.Matches(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
	if !NewFilter("").Matches("anything") {
		t.Error("the empty topic matches everything")
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		parts []string
		want  string
	}{
		{nil, ""}, {[]string{"a", "b"}, "a/b"}, {[]string{"/a", "/b/"}, "/a/b"}, {[]string{"a/", "b"}, "a/b"},
		{[]string{"", "b"}, "b"}, {[]string{"a", ""}, "a"}, {[]string{"/"}, ""},
	} {
		if got := Join(c.parts...); got != c.want {
			t.Errorf("%q: %q, want %q", c.parts, got, c.want)
		}
	}
	if d := cmp.Diff([]string{"a", "b"}, Split("/a//b/")); d != "" {
		t.Error(d)
	}
}

func TestBlocksStores(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "z": true, "zeek/": true, "zeek/known/hosts/<$>/data/master": true, "___sync": true,
		"/test": false, "zeek/cluster/worker": false, "zeek/logs/": false, "zeek/known/hosts/x": false,
	} {
		if BlocksStores(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}

func benchMatcher(n int) (m Matcher[int]) {
	for peer := range 10 {
		prefixes := make([]string, n/10)
		for i := range prefixes {
			prefixes[i] = fmt.Sprintf("/objects/%d/%d/", peer, i)
		}
		m = m.InsertAll(prefixes, peer)
	}
	return m.Insert("/bench/", 10)
}

// The cost of a match must not grow with what does not match.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := benchMatcher(n)
			name := []byte("/bench/events")
			dst := make([]int, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				dst = m.Match(name, dst[:0])
			}
		})
	}
}

func BenchmarkInsert10000Single(b *testing.B) {
	for b.Loop() {
		m := benchMatcher(10_000)
		for i := range 10_000 {
			m = m.Insert(fmt.Sprintf("/single/%d", i), i)
		}
	}
}

func BenchmarkInsertAll65536(b *testing.B) {
	prefixes := make([]string, 65536)
	for i := range prefixes {
		prefixes[i] = fmt.Sprintf("/objects/%d/", i)
	}
	for b.Loop() {
		Matcher[int]{}.InsertAll(prefixes, 1)
	}
}
