package layout

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Native returns the layout as [ParseNative] reads it: version, nodes, what of the options is not the default, stores.
func (l *Layout) Native() []byte {
	b := fmt.Appendf(nil, "zeek_version: %v\n", l.Version)
	defaults := DefaultOptions(l.Version)
	defaults.ManagerIsLogger = l.count(Logger) == 0
	head := "\noptions:\n"
	for i := range optionTable {
		o := &optionTable[i]
		if text := nativeValue(o.field(&l.Options)); text != nativeValue(o.field(&defaults)) {
			b = fmt.Appendf(b, "%s  %s: %s\n", head, o.name, text)
			head = ""
		}
	}
	b = append(b, "\nnodes:\n"...)
	only := ""
	if managers := l.Sorted(Manager); len(managers) == 1 {
		only = managers[0].Name
	}
	for _, n := range l.byType() {
		b = fmt.Appendf(b, "  %s: {type: %s, address: %s", scalar(n.Name), n.Type.Word(), nativeAddress(n.IP))
		if n.Port != (Port{}) {
			b = fmt.Appendf(b, ", port: %s", nativePort(n.Port))
		}
		implied := ""
		if n.Type == Worker || n.Type == Proxy {
			implied = only
		}
		switch {
		case n.Manager == implied:
		case n.Manager == "":
			b = append(b, ", manager: null"...)
		default:
			b = fmt.Appendf(b, ", manager: %s", scalar(n.Manager))
		}
		for _, f := range []struct{ name, text string }{{"interface", n.Interface}, {"zone_id", n.ZoneID}, {"time_machine", n.TimeMachine}, {"lb_filter", n.LBFilter}} {
			if f.text != "" {
				b = fmt.Appendf(b, ", %s: %s", f.name, scalar(f.text))
			}
		}
		if n.MetricsPort != (Port{}) {
			b = fmt.Appendf(b, ", metrics_port: %s", nativePort(n.MetricsPort))
		}
		b = append(b, "}\n"...)
	}
	head = "\nstores:\n"
	for _, s := range l.Stores {
		b = fmt.Appendf(b, "%s  %s: {backend: %s", head, scalar(s.Name), s.Backend.Word())
		head = ""
		if s.Path != "" {
			b = fmt.Appendf(b, ", path: %s", scalar(s.Path))
		}
		if s.MasterNode != l.Options.DefaultMasterNode {
			b = fmt.Appendf(b, ", master_node: %s", scalar(s.MasterNode))
		}
		defaults := l.Options.defaultStore("")
		for _, f := range []struct {
			name        string
			is, usually time.Duration
		}{
			{"clone_resync_interval", s.CloneResyncInterval, defaults.CloneResyncInterval},
			{"clone_stale_interval", s.CloneStaleInterval, defaults.CloneStaleInterval},
			{"clone_mutation_buffer_interval", s.CloneMutationBufferInterval, defaults.CloneMutationBufferInterval},
		} {
			if f.is != f.usually {
				b = fmt.Appendf(b, ", %s: %v", f.name, f.is)
			}
		}
		b = append(b, "}\n"...)
	}
	return b
}

// byType returns the nodes as people look for them: control, loggers, managers, proxies, workers, time machines.
func (l *Layout) byType() []Node {
	nodes := make([]Node, 0, len(l.Nodes))
	for t := None; t <= TimeMachine; t++ {
		nodes = append(nodes, l.Sorted(t)...)
	}
	return nodes
}

// nativeValue returns the value of an option, which is a pointer, as YAML.
func nativeValue(field any) string {
	switch f := field.(type) {
	case *string:
		return scalar(*f)
	case *bool:
		return strconv.FormatBool(*f)
	case *Backend:
		return f.Word()
	case *time.Duration:
		return f.String()
	}
	return ""
}

func nativeAddress(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return scalar(a.String())
}

func nativePort(p Port) string {
	if p.Proto == data.ProtoTCP && p.Number != 0 {
		return strconv.Itoa(int(p.Number))
	}
	return `"` + portText(p) + `"`
}

// scalar returns a text as YAML: as it is if nothing else can be meant by that, else in double quotes.
func scalar(s string) string {
	plain := s != "" && (isLetter(s[0]) || s[0] == '/' && len(s) > 1)
	for i := 0; plain && i < len(s); i++ {
		plain = isWord(s[i]) || strings.IndexByte("-./", s[i]) >= 0
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", "t", "f":
		plain = false
	}
	if plain && !strings.HasPrefix(s, "_") {
		return s
	}
	b := []byte{'"'}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < ' ' || c == 0x7f:
			b = fmt.Appendf(b, `\x%02x`, c)
		case unicode.IsPrint(c):
			b = utf8.AppendRune(b, c)
		case c > 0xffff:
			b = fmt.Appendf(b, `\U%08x`, c)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return string(append(b, '"'))
}

// JSON returns the layout as an object for programs, with who listens where, and who dials whom in which order.
func (l *Layout) JSON() []byte {
	type node struct {
		Name        string   `json:"name"`
		Type        string   `json:"type"`
		Address     string   `json:"address"`
		ZoneID      string   `json:"zone_id,omitempty"`
		Port        string   `json:"port,omitempty"`
		Interface   string   `json:"interface,omitempty"`
		Manager     string   `json:"manager,omitempty"`
		TimeMachine string   `json:"time_machine,omitempty"`
		MetricsPort string   `json:"metrics_port,omitempty"`
		LBFilter    string   `json:"lb_filter,omitempty"`
		Listens     string   `json:"listens,omitempty"`
		Dials       []string `json:"dials"`
	}
	type store struct {
		Name           string `json:"name"`
		Backend        string `json:"backend"`
		Path           string `json:"path,omitempty"`
		MasterNode     string `json:"master_node,omitempty"`
		Resync         string `json:"clone_resync_interval"`
		Stale          string `json:"clone_stale_interval"`
		MutationBuffer string `json:"clone_mutation_buffer_interval"`
	}
	out := struct {
		Source   string         `json:"source"`
		Version  string         `json:"zeek_version"`
		Options  map[string]any `json:"options"`
		Nodes    []node         `json:"nodes"`
		Stores   []store        `json:"stores"`
		Warnings []string       `json:"warnings"`
	}{l.Source, l.Version.String(), make(map[string]any), []node{}, []store{}, append([]string{}, l.Warnings...)}
	for i := range optionTable {
		o := &optionTable[i]
		switch f := o.field(&l.Options).(type) {
		case *string:
			out.Options[o.name] = *f
		case *bool:
			out.Options[o.name] = *f
		default:
			out.Options[o.name] = nativeValue(f)
		}
	}
	for _, n := range l.byType() {
		j := node{
			Name: n.Name, Type: n.Type.Word(), Address: n.IP.String(), ZoneID: n.ZoneID, Interface: n.Interface,
			Manager: n.Manager, TimeMachine: n.TimeMachine, LBFilter: n.LBFilter, Dials: []string{},
		}
		if n.Port != (Port{}) {
			j.Port = portText(n.Port)
		}
		if n.MetricsPort != (Port{}) {
			j.MetricsPort = portText(n.MetricsPort)
		}
		j.Listens, _ = l.Listens(n.Name)
		for _, to := range l.Dials(n.Name) {
			j.Dials = append(j.Dials, to.Name)
		}
		out.Nodes = append(out.Nodes, j)
	}
	for _, s := range l.Stores {
		out.Stores = append(out.Stores, store{s.Name, s.Backend.Word(), s.Path, s.MasterNode, s.CloneResyncInterval.String(), s.CloneStaleInterval.String(), s.CloneMutationBufferInterval.String()})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil // nothing in it can fail
	}
	return append(b, '\n')
}
