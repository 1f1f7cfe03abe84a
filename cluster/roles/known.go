package roles

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// hostsInfo is a Known::HostsInfo.
type hostsInfo struct {
	TS   time.Time  `zeek:"ts"`
	Host netip.Addr `zeek:"host"`
}

// servicesInfo is a Known::ServicesInfo.
type servicesInfo struct {
	TS      time.Time          `zeek:"ts"`
	Host    netip.Addr         `zeek:"host"`
	Port    data.TransportPort `zeek:"port_num"`
	Proto   string             `zeek:"port_proto,enum"`
	Service []string           `zeek:"service,set"`
}

// certsInfo is a Known::CertsInfo.
type certsInfo struct {
	TS      time.Time           `zeek:"ts"`
	Host    netip.Addr          `zeek:"host"`
	Port    *data.TransportPort `zeek:"port_num"`
	Subject *string             `zeek:"subject"`
	Issuer  *string             `zeek:"issuer_subject"`
	Serial  *string             `zeek:"serial"`
}

// unpack stores a record of at least so many elements in a struct. Without the count, fields that are optional might be
// missing at the end; Zeek refuses such a record.
func unpack[T any](v data.Value, elems int) (record T, err error) {
	if v.Kind() == data.KindVector && v.Len() < elems {
		return record, fmt.Errorf("args[0]: a record of %d elements, want %d at least", v.Len(), elems)
	}
	if err = data.Unmarshal(v, &record); err != nil {
		err = fmt.Errorf("args[0]: %w", err)
	}
	return record, err
}

// What services and certificates are known by.
type (
	serviceKey struct {
		host netip.Addr
		port data.TransportPort
	}
	certKey struct {
		host netip.Addr
		hash string
	}
)

var (
	hostsFields    = []zeek.Field{field("ts", zeek.LogTime, false), field("host", zeek.LogAddr, false)}
	servicesFields = []zeek.Field{
		field("ts", zeek.LogTime, false), field("host", zeek.LogAddr, false), field("port_num", zeek.LogPort, false), field("port_proto", zeek.LogEnum, false),
		{Name: "service", Type: uint64(zeek.LogSet), Subtype: uint64(zeek.LogString)},
	}
	certsFields = []zeek.Field{
		field("ts", zeek.LogTime, false), field("host", zeek.LogAddr, false), field("port_num", zeek.LogPort, true), field("subject", zeek.LogString, true),
		field("issuer_subject", zeek.LogString, true), field("serial", zeek.LogString, true),
	}
)

// known makes a proxy keep what workers know of hosts, services and certificates: of the keys that lead to it, it
// logs each once a day.
func (r *role) known() {
	r.knownHosts()
	r.knownServices()
	r.knownCerts()
	r.say("logs its share of known hosts, services and certificates, once a day each")
}

func (r *role) knownHosts() {
	log := r.newLog("Known::HOSTS_LOG", "known_hosts", hostsFields)
	hosts := newMemory[netip.Addr, struct{}]("hosts", r.opts.memory, r.opts.log)
	r.watch(func() MemoryStatus { return hosts.status() }, log)
	on(r, "known_host_add", func(_ context.Context, args struct{ Info hostsInfo }) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		info, now := &args.Info, r.opts.now()
		if hosts.get(info.Host, now) != nil {
			return nil
		}
		hosts.add(info.Host, struct{}{}, 0, now)
		p := log.pack()
		p.time(info.TS)
		p.addr(info.Host)
		return log.write(p)
	})
}

func (r *role) knownServices() {
	log := r.newLog("Known::SERVICES_LOG", "known_services", servicesFields)
	services := newMemory[serviceKey, []string]("services", r.opts.memory, r.opts.log)
	r.watch(func() MemoryStatus { return services.status() }, log)
	on(r, "known_service_add", func(_ context.Context, args struct{ Info servicesInfo }) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		info, now := &args.Info, r.opts.now()
		key := serviceKey{info.Host, info.Port}
		names := services.get(key, now)
		if names == nil {
			names = services.add(key, nil, 0, now)
		} else if !slices.ContainsFunc(info.Service, func(s string) bool { return !slices.Contains(*names, s) }) {
			return nil
		}
		var fresh []string
		for _, s := range info.Service {
			if !slices.Contains(*names, s) {
				*names, fresh = append(*names, s), append(fresh, s)
				services.grow(key, len(s)+textCost)
			}
		}
		p := log.pack()
		p.time(info.TS)
		p.addr(info.Host)
		p.port(&info.Port)
		p.enum(info.Proto)
		p.set(fresh)
		return log.write(p)
	})
}

func (r *role) knownCerts() {
	log := r.newLog("Known::CERTS_LOG", "known_certs", certsFields)
	certs := newMemory[certKey, struct{}]("certs", r.opts.memory, r.opts.log)
	r.watch(func() MemoryStatus { return certs.status() }, log)
	on(r, "known_cert_add", func(_ context.Context, args struct {
		Info data.Value
		Hash string
	}) error {
		info, err := unpack[certsInfo](args.Info, len(certsFields))
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		now := r.opts.now()
		key := certKey{info.Host, args.Hash}
		if certs.get(key, now) != nil {
			return nil
		}
		certs.add(key, struct{}{}, len(args.Hash), now)
		p := log.pack()
		p.time(info.TS)
		p.addr(info.Host)
		p.port(info.Port)
		p.text(info.Subject)
		p.text(info.Issuer)
		p.text(info.Serial)
		return log.write(p)
	})
}
