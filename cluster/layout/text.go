package layout

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Text returns the layout for people: a table of who listens and who dials whom, and what is not the default.
func Text(l *Layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Zeek %v, %s\n\n", l.Version, l.Census())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tTYPE\tADDRESS\tDIALS, IN THIS ORDER\tDIALED BY")
	for _, n := range l.byType() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", label(n.Name), n.Type.Word(), address(&n), l.summary(l.Dials(n.Name)), l.summary(l.DialedBy(n.Name)))
	}
	w.Flush()
	fmt.Fprintf(&b, "\nNodes listen on the port of their address, at %s.\n", l.listensAt())
	if r := l.Options.ConnectRetry(); r > 0 {
		fmt.Fprintf(&b, "They dial again every %v.\n", r)
	} else {
		b.WriteString("They dial once, and not again.\n")
	}
	fmt.Fprintf(&b, "Logs are written by %s.\n", l.summary(l.logWriters()))
	defaults := DefaultOptions(l.Version)
	head := "\nOptions that are not the default:\n"
	for i := range optionTable {
		o := &optionTable[i]
		if text := nativeValue(o.field(&l.Options)); text != nativeValue(o.field(&defaults)) {
			fmt.Fprintf(&b, "%s  %s::%s = %s\n", head, o.module, o.name, text)
			head = ""
		}
	}
	head = "\nStores:\n"
	for _, s := range l.Stores {
		fmt.Fprintf(&b, "%s  %s: %s", head, label(s.Name), s.Backend.Word())
		head = ""
		if s.Path != "" {
			fmt.Fprintf(&b, ", at %s", label(s.Path))
		}
		if s.MasterNode != "" {
			fmt.Fprintf(&b, ", master on %s", label(s.MasterNode))
		}
		b.WriteString("\n")
	}
	return stripBlanks(b.String())
}

// stripBlanks removes the blanks at the ends of lines, which columns leave.
func stripBlanks(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// listensAt says at which address nodes listen.
func (l *Layout) listensAt() string {
	if a := l.Options.DefaultListenAddress; a != "" {
		return label(a)
	}
	return "all addresses of their host"
}

// logWriters returns who receives and writes logs: the loggers, and managers if they are to.
func (l *Layout) logWriters() []Node {
	nodes := l.Sorted(Logger)
	if l.Options.ManagerIsLogger {
		nodes = append(nodes, l.Sorted(Manager)...)
	}
	return nodes
}

// Census says how many nodes there are of each type, such as "2 nodes: 1 manager, 1 worker".
func (l *Layout) Census() string {
	var parts []string
	for t := None; t <= TimeMachine; t++ {
		if n := l.count(t); n > 0 {
			parts = append(parts, counted(n, t))
		}
	}
	nodes := "nodes"
	if len(l.Nodes) == 1 {
		nodes = "node"
	}
	return fmt.Sprintf("%d %s: %s", len(l.Nodes), nodes, strings.Join(parts, ", "))
}

// counted returns a number with the name of a type, such as "2 proxies".
func counted(n int, t NodeType) string {
	word := strings.ReplaceAll(t.Word(), "_", " ")
	switch {
	case n == 1:
	case t == Proxy:
		word = "proxies"
	case t != Control && t != None:
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}

// summary names nodes; many of a type are only counted. Those of a type are together.
func (l *Layout) summary(nodes []Node) string {
	const few = 3
	var parts []string
	for len(nodes) > 0 {
		n := 1
		for n < len(nodes) && nodes[n].Type == nodes[0].Type {
			n++
		}
		t := nodes[0].Type
		all := l.count(t)
		switch {
		case n <= few:
			for _, node := range nodes[:n] {
				parts = append(parts, label(node.Name))
			}
		case n == all:
			parts = append(parts, "all "+counted(n, t))
		default:
			parts = append(parts, fmt.Sprintf("%d of %s", n, counted(all, t)))
		}
		nodes = nodes[n:]
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}

// address returns where others dial a node, or "-".
func address(n *Node) string {
	if !n.Listens() {
		return "-"
	}
	return label(n.DialAddr())
}

// label returns a name as it is, or in quotes if a terminal would act upon it or it would be hard to tell from others.
func label(s string) string {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c == '"' || c == unicode.ReplacementChar || !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}
