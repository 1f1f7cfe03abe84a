package roles

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// softwareInfo is a Software::Info.
type softwareInfo struct {
	TS       *time.Time          `zeek:"ts"`
	Host     netip.Addr          `zeek:"host"`
	Port     *data.TransportPort `zeek:"host_p"`
	Type     *string             `zeek:"software_type,enum"`
	Name     *string             `zeek:"name"`
	Version  *softwareVersion    `zeek:"version"`
	Unparsed *string             `zeek:"unparsed_version"`
	ForceLog *bool               `zeek:"force_log"`
}

// softwareVersion is a Software::Version.
type softwareVersion struct {
	Major  *uint64 `zeek:"major"`
	Minor  *uint64 `zeek:"minor"`
	Minor2 *uint64 `zeek:"minor2"`
	Minor3 *uint64 `zeek:"minor3"`
	Addl   *string `zeek:"addl"`
}

// A release is a Software::Version that == compares as Software::cmp_versions does.
type release struct {
	numbers [4]uint64
	has     [5]bool // which numbers are set, and addl
	addl    string
}

func (v *softwareVersion) release() (r release) {
	for i, n := range []*uint64{v.Major, v.Minor, v.Minor2, v.Minor3} {
		if n != nil {
			r.numbers[i], r.has[i] = *n, true
		}
	}
	if v.Addl != nil {
		r.setAddl(*v.Addl)
	}
	return r
}

func (r *release) setAddl(s string) { r.addl, r.has[4] = s, true }

// String returns the release as software_fmt_version writes it: 2.0.63-Unix.
func (r *release) String() string {
	text := strconv.FormatUint(r.numbers[0], 10)
	for i := 1; i < len(r.numbers); i++ {
		if r.has[i] {
			text += "." + strconv.FormatUint(r.numbers[i], 10)
		}
	}
	if r.has[4] {
		text += "-" + r.addl
	}
	return text
}

// maxReleases bounds the versions of a program at a host that proxies of Zeek 9.0 remember:
// Software::max_software_cache_size. With one more, they begin anew.
const maxReleases = 20

// A program is what a proxy remembers of a name of software at a host.
type program struct {
	last release             // up to 8.2: the newest version reported
	seen map[string]struct{} // from 9.0: all versions, as they were written
}

var softwareFields = []zeek.Field{
	field("ts", zeek.LogTime, true), field("host", zeek.LogAddr, false), field("host_p", zeek.LogPort, true), field("software_type", zeek.LogEnum, true),
	field("name", zeek.LogString, true), field("version.major", zeek.LogCount, true), field("version.minor", zeek.LogCount, true),
	field("version.minor2", zeek.LogCount, true), field("version.minor3", zeek.LogCount, true), field("version.addl", zeek.LogString, true),
	field("unparsed_version", zeek.LogString, true),
}

// software makes a proxy keep what software runs where, of the hosts that lead to it: it logs a program once a day,
// and when its version is another one.
func (r *role) software() {
	log := r.newLog("Software::LOG", "software", softwareFields)
	hosts := newMemory[netip.Addr, map[string]*program]("software", r.opts.memory, r.opts.log)
	r.watch(func() MemoryStatus { return hosts.status() }, log)
	all := r.layout.Version.Compare(layout.Version{Major: 9}) >= 0
	parser := softwareParser{stripsWhole: r.layout.Version.Compare(layout.Version{Major: 6, Minor: 2}) < 0}
	r.say("logs its share of software, once a day and when a version changes")
	on(r, "Software::new", func(_ context.Context, args struct{ Info data.Value }) error {
		info, err := unpack[softwareInfo](args.Info, 8)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		now := r.opts.now()
		var version release
		switch {
		case info.Version != nil && info.Name != nil:
			version = info.Version.release()
		case info.Version != nil:
			return errors.New("args[0]: software with a version and without a name")
		case info.Unparsed == nil:
			return errors.New("args[0]: software without a version")
		default:
			var name string
			name, version = parser.parse(*info.Unparsed)
			info.Name = &name
		}
		programs := hosts.get(info.Host, now)
		if programs == nil {
			programs = hosts.add(info.Host, make(map[string]*program), mapCost, now)
		}
		p, known := (*programs)[*info.Name]
		if !known {
			p = &program{last: version}
			(*programs)[*info.Name] = p
			hosts.grow(info.Host, entryCost+len(*info.Name)+len(version.addl))
		}
		if all {
			text := version.String()
			if info.Unparsed != nil {
				text = *info.Unparsed
			}
			_, known = p.seen[text]
			hosts.grow(info.Host, p.see(text))
		} else {
			known = known && p.last == version
			hosts.grow(info.Host, len(version.addl)-len(p.last.addl))
			p.last = version
		}
		if force := info.ForceLog != nil && *info.ForceLog; known && !force {
			return nil
		}
		return log.write(info.pack(log, &version))
	})
}

// see remembers a version, and returns by how many bytes the program has grown.
func (p *program) see(text string) (grown int) {
	if _, known := p.seen[text]; known {
		return 0
	}
	if p.seen == nil {
		grown = mapCost
	}
	if p.seen == nil || len(p.seen) == maxReleases {
		for old := range p.seen {
			grown -= len(old) + textCost
		}
		p.seen = make(map[string]struct{})
	}
	p.seen[text] = struct{}{}
	return grown + len(text) + textCost
}

// pack returns the row of software.
func (info *softwareInfo) pack(log *logStream, version *release) *packer {
	p := log.pack()
	if info.TS != nil {
		p.time(*info.TS)
	} else {
		p.unset(zeek.LogTime)
	}
	p.addr(info.Host)
	p.port(info.Port)
	if info.Type != nil {
		p.enum(*info.Type)
	} else {
		p.enum("Software::UNKNOWN")
	}
	p.text(info.Name)
	for i, n := range version.numbers {
		if version.has[i] {
			p.row = zeek.AppendLogCount(p.row, n)
		} else {
			p.unset(zeek.LogCount)
		}
	}
	if version.has[4] {
		p.text(&version.addl)
	} else {
		p.text(nil)
	}
	p.text(info.Unparsed)
	return p
}
