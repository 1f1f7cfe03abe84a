package layout

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// maxTopic is the longest topic that fits an envelope: a node whose name makes a longer one cannot be reached.
const maxTopic = 1<<16 - 1

// Check says what is wrong with a layout that a program made. The parsers have done so for theirs. It returns errors for
// what cannot work, and warnings for what is odd, such as what Zeek itself would put up with.
func (l *Layout) Check() (warnings []string, err error) {
	file := l.Source
	if file == "" {
		file = "layout"
	}
	r := &report{file: file}
	seen := make(map[string]bool, len(l.Nodes))
	for i := range l.Nodes {
		if name := l.Nodes[i].Name; seen[name] {
			r.fail(place{}, "two nodes are named %s", quoted(name))
		} else {
			seen[name] = true
		}
	}
	l.check(r, func(string, string) place { return place{} })
	return r.end()
}

// check notes what is wrong. where tells where the fields of nodes are, under their names in Zeek.
func (l *Layout) check(r *report, where func(name, field string) place) {
	count := make(map[NodeType]int)
	byName := make(map[string]*Node, len(l.Nodes))
	for i := range l.Nodes {
		n := &l.Nodes[i]
		count[n.Type]++
		byName[n.Name] = n
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		l.checkNode(r, n, byName, func(field string) place { return where(n.Name, field) })
	}
	l.checkDialed(r, count, byName, where)
	l.checkAddresses(r, where)
	l.checkWhole(r, count)
	l.checkOptions(r)
	for i := range l.Stores {
		s := &l.Stores[i]
		if s.MasterNode != "" && byName[s.MasterNode] == nil {
			r.fail(place{}, "store %s: its master is to be on %s, which is not a node", quoted(s.Name), quoted(s.MasterNode))
		}
		if s.CloneResyncInterval < 0 || s.CloneStaleInterval < 0 || s.CloneMutationBufferInterval < 0 {
			r.fail(place{}, "store %s: an interval is negative", quoted(s.Name))
		}
		if s.Name == "" || !printable(s.Name) || !printable(s.Path) {
			r.fail(place{}, "store %s: its name or path is empty, not UTF-8, or has a NUL", quoted(s.Name))
		}
	}
}

// printable reports whether a text can be a name: it is UTF-8, and has no NUL, at which C would end it.
func printable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func (l *Layout) checkNode(r *report, n *Node, byName map[string]*Node, where func(field string) place) {
	name := quoted(n.Name)
	switch longest := len(l.Options.NodeTopicPrefix) + len(n.Name) + 1; {
	case n.Name == "":
		r.fail(where(""), "a node has an empty name, which means not clustered")
	case !printable(n.Name):
		r.fail(where(""), "the name %s is not UTF-8, or has a NUL", name)
	case strings.Contains(n.Name, "<$>"):
		r.fail(where(""), "the name %s has <$>, which no topic may have", name)
	case longest > maxTopic:
		r.fail(where(""), "the name %s is too long: its topic would have %d bytes, at most %d", name, longest, maxTopic)
	}
	for i := 0; i < len(n.Name) && len(n.Name) < 256; i++ { // a longer one is nobody's mistake
		if n.Name[i] == '/' && byName[n.Name[:i]] != nil {
			r.warn(where(""), "%s also receives what is sent to %s, as their topics begin alike", quoted(n.Name[:i]), name)
		}
	}
	if n.Type == None || n.Type > TimeMachine {
		r.fail(where("node_type"), "node %s is of type %v, which cannot be clustered", name, n.Type)
	}
	switch {
	case !n.IP.IsValid():
		r.fail(where("ip"), "node %s has no address", name)
	case n.IP.Zone() != "":
		r.fail(where("ip"), "node %s: a zone within the address, want it as zone_id", name)
	case n.IP.IsMulticast():
		r.fail(where("ip"), "node %s: %v is a multicast address, which nobody can dial", name, n.IP)
	case n.IP.IsUnspecified():
		r.warn(where("ip"), "node %s: others dial %v, which leads to themselves", name, n.IP)
	case n.ZoneID != "" && n.IP.Is4():
		r.warn(where("zone_id"), "node %s: zone %s means nothing with an IPv4 address", name, quoted(n.ZoneID))
	case n.IP.IsLinkLocalUnicast() && n.IP.Is6() && n.ZoneID == "":
		r.warn(where("ip"), "node %s: %v is a link-local address without a zone, give it one as zone_id", name, n.IP)
	}
	for _, text := range []string{n.ZoneID, n.Interface, n.LBFilter, n.Manager, n.TimeMachine} {
		if !printable(text) {
			r.fail(where(""), "node %s: %s is not UTF-8, or has a NUL", name, quoted(text))
		}
	}
	if n.Port.Proto != data.ProtoTCP && n.Port != (Port{}) {
		r.fail(where("p"), "node %s is to listen on %s, want a TCP port, or 0/unknown for none", name, portText(n.Port))
	}
	if n.MetricsPort.Proto != data.ProtoTCP && n.MetricsPort != (Port{}) {
		r.fail(where("metrics_port"), "node %s has its metrics at %s, want a TCP port", name, portText(n.MetricsPort))
	}
	l.checkPartner(r, n, "manager", n.Manager, Manager, n.Type == Worker || n.Type == Proxy, byName, where)
	if l.Version.HasTimeMachine() {
		l.checkPartner(r, n, "time_machine", n.TimeMachine, TimeMachine, n.Type == Worker || n.Type == Manager, byName, where)
	}
}

// checkPartner checks a name of a node within another.
func (l *Layout) checkPartner(r *report, n *Node, field, partner string, want NodeType, dials bool, byName map[string]*Node, where func(string) place) {
	if partner == "" {
		if field == "manager" && dials {
			r.warnOnce(where(""), "a %s without a manager dials none", n.Type.Word())
		}
		return
	}
	text := ""
	switch to := byName[partner]; {
	case to == nil:
		text = fmt.Sprintf("node %s names %s as its %s, which is not a node", quoted(n.Name), quoted(partner), want.Word())
	case to.Type != want:
		text = fmt.Sprintf("node %s names %s as its %s, which is a %s", quoted(n.Name), quoted(partner), want.Word(), to.Type.Word())
	default:
		return
	}
	// Zeek goes on without, so that the node never meets its manager; for those that dial none it does not matter.
	if dials {
		r.fail(where(field), "%s", text)
	} else {
		r.warn(where(field), "%s; a %s dials none", text, n.Type.Word())
	}
}

// checkDialed checks that those whom others dial listen.
func (l *Layout) checkDialed(r *report, count map[NodeType]int, byName map[string]*Node, where func(name, field string) place) {
	named := make(map[string]*Node) // whom somebody names
	for i := range l.Nodes {
		switch n := &l.Nodes[i]; n.Type {
		case Worker, Proxy, Manager:
			for _, partner := range []string{n.Manager, n.TimeMachine} {
				if to := byName[partner]; named[partner] == nil && to != nil && l.dials(n, to) {
					named[partner] = n
				}
			}
		}
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if n.Port.Number != 0 {
			continue
		}
		who := ""
		switch {
		case n.Type == Logger && count[Manager]+count[Proxy]+count[Worker] > 0:
			who = "manager, proxies and workers dial"
		case n.Type == Proxy && count[Worker] > 0:
			who = "workers dial"
		case named[n.Name] != nil:
			who = quoted(named[n.Name].Name) + " dials"
		case n.Port.Proto == data.ProtoTCP:
			r.warn(where(n.Name, "p"), "node %s listens on whatever port its system chooses", quoted(n.Name))
			continue
		default:
			continue
		}
		r.fail(where(n.Name, "p"), "%s %s has no port, but %s it", n.Type.Word(), quoted(n.Name), who)
	}
}

// checkAddresses checks that no two nodes listen at the same place.
func (l *Layout) checkAddresses(r *report, where func(name, field string) place) {
	type endpoint struct {
		ip   netip.Addr
		zone string
		port uint16
	}
	taken := make(map[endpoint]*Node)
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if n.Port.Number == 0 {
			continue
		}
		e := endpoint{n.IP, n.ZoneID, n.Port.Number}
		other := taken[e]
		switch {
		case other == nil:
			taken[e] = n
		case other.Type == Control || n.Type == Control: // which is seldom a process that listens
			r.warn(where(n.Name, "p"), "%s and %s both have %s", quoted(other.Name), quoted(n.Name), n.DialAddr())
		default:
			r.fail(where(n.Name, "p"), "%s and %s would both listen at %s", quoted(other.Name), quoted(n.Name), n.DialAddr())
		}
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if n.MetricsPort.Number == 0 {
			continue
		}
		e := endpoint{n.IP, n.ZoneID, n.MetricsPort.Number}
		if other := taken[e]; other != nil {
			r.warn(where(n.Name, "metrics_port"), "%s has its metrics at port %d of %v, where %s is", quoted(n.Name), e.port, n.IP, quoted(other.Name))
			continue
		}
		taken[e] = n
	}
}

// checkWhole warns of layouts with which Zeek starts, but which lack something.
func (l *Layout) checkWhole(r *report, count map[NodeType]int) {
	if len(l.Nodes) == 0 {
		r.fail(place{}, "there are no nodes")
		return
	}
	switch {
	case count[Manager] == 0:
		r.warn(place{}, "there is no manager: nobody decides, and stores have no master")
	case count[Manager] > 1:
		r.warn(place{}, "there are %d managers: what belongs to all is at the first, %s", count[Manager], quoted(l.Sorted(Manager)[0].Name))
	}
	switch {
	case count[Logger] > 0 && l.Options.ManagerIsLogger && count[Manager] > 0:
		r.warn(place{}, "manager_is_logger is T although there are loggers: the manager writes logs, too; want F")
	case count[Logger] == 0 && !(l.Options.ManagerIsLogger && count[Manager] > 0):
		r.warn(place{}, "nobody writes logs: there is no logger, and manager_is_logger is F or there is no manager")
	}
	if count[Worker] > 0 && count[Proxy] == 0 {
		r.warn(place{}, "there is no proxy: what workers send to proxies, such as for known_hosts.log and software.log, is lost")
	}
}

func (l *Layout) checkOptions(r *report) {
	for i := range optionTable {
		o := &optionTable[i]
		switch f := o.field(&l.Options).(type) {
		case *string:
			switch {
			case !printable(*f):
				r.fail(place{}, "%s: %s is not UTF-8, or has a NUL", o.name, quoted(*f))
			case !o.topic, o.name == "time_machine_topic" && *f == "":
			case *f == "":
				r.fail(place{}, "%s is empty, with which every topic begins", o.name)
			case strings.Contains(*f, "<$>"):
				r.fail(place{}, "%s: %s has <$>, which no topic may have", o.name, quoted(*f))
			case len(*f) > maxTopic/2:
				r.fail(place{}, "%s has %d bytes, at most %d", o.name, len(*f), maxTopic/2)
			}
		case *time.Duration:
			if *f < 0 {
				r.fail(place{}, "%s is negative, want 0 for no further attempt", o.name)
			}
		case *Backend:
			if int(*f) >= len(backendNames) {
				r.fail(place{}, "%s: there is no %v", o.name, *f)
			}
		}
	}
	if master := l.Options.DefaultMasterNode; master != "" && l.Node(master) == nil {
		r.fail(place{}, "default_master_node is %s, which is not a node", quoted(master))
	}
}
