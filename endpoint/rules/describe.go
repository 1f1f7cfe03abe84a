package rules

import (
	"fmt"
	"strings"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// Describe returns what the rules say, in words: a paragraph for each, which tells whether it authenticates
// or only guards against mistakes.
func (r *Rules) Describe() string {
	set := r.set.Load()
	var b strings.Builder
	for i := range set.rules {
		describe(&b, &set.rules[i])
		if set.rules[i].match.authenticates() {
			b.WriteString("    authenticated: the name is proved by a certificate\n")
		} else {
			b.WriteString("    NOT AUTHENTICATED: ids and addresses can be made up; a guard against mistakes only\n")
		}
	}
	describe(&b, &set.byDefault)
	return b.String()
}

func describe(b *strings.Builder, r *rule) {
	b.WriteString(r.title)
	if m := r.match.String(); m != "" {
		b.WriteString(": " + m)
	}
	b.WriteString("\n")
	for _, line := range permissions(&r.access) {
		fmt.Fprintf(b, "    %s\n", line)
	}
}

// permissions returns in words what is allowed.
func permissions(a *endpoint.Access) []string {
	if a.Refuse {
		return []string{"refused"}
	}
	lines := []string{
		topics("publish data under", a.Publish),
		topics("receive what is under", a.Subscribe),
		topics("send commands to stores under", a.Commands),
	}
	if a.NoLogs {
		lines = append(lines, "may not create or write logs")
	}
	if a.NoIdentifiers {
		lines = append(lines, "may not change identifiers")
	}
	return lines
}

func topics(what string, allowed []string) string {
	switch {
	case allowed == nil:
		return "may " + what + " any topic"
	case len(allowed) == 0:
		return "may not " + what + " any topic"
	}
	return fmt.Sprintf("may %s %q", what, allowed)
}
