package data_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A record of Zeek's scripts:
//
//	type Login: record {
//		ts: time;
//		host: addr;
//		user: string &optional;
//		ports: set[port];
//	};
type Login struct {
	TS    time.Time                       `zeek:"ts"`
	Host  netip.Addr                      `zeek:"host"`
	User  *string                         `zeek:"user"`
	Ports map[data.TransportPort]struct{} `zeek:"ports"`
}

func ExampleMarshal() {
	v, err := data.Marshal(Login{
		TS:    time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC),
		Host:  netip.MustParseAddr("10.0.0.1"),
		Ports: map[data.TransportPort]struct{}{{Number: 22, Proto: data.ProtoTCP}: {}},
	})
	fmt.Println(v, err)
	// Output: [2026-01-31T23:59:59.000Z, 10.0.0.1, nil, {22/tcp}] <nil>
}

func ExampleUnmarshal() {
	v := data.Vector(data.Timestamp(0), data.Addr(netip.MustParseAddr("10.0.0.1")), data.String("root"), data.Set())
	var login Login
	fmt.Println(data.Unmarshal(v, &login), login.Host, *login.User)

	v = data.Vector(data.Timestamp(0), data.Count(1), data.None(), data.Set())
	fmt.Println(data.Unmarshal(v, &login))
	// Output:
	// <nil> 10.0.0.1 root
	// host: got count, want addr
}

// The arguments of an event, event login(node: string, l: Login), are read from its bytes.
func ExampleReader_IntoArgs() {
	type LoginArgs struct {
		Node  string
		Login Login
	}
	args, err := data.Append(nil, LoginArgs{"worker-1", Login{TS: time.Unix(0, 0), Host: netip.IPv6Loopback()}})
	if err != nil {
		fmt.Println(err)
		return
	}

	r := data.NewReader(args) // as in zeek.EventView, which has them without the header of the vector
	n := r.Vector()
	var got LoginArgs
	err = r.IntoArgs(n, &got)
	fmt.Println(got.Node, got.Login.Host, err)

	var other struct {
		Node  string
		Login string
	}
	r = data.NewReader(args)
	fmt.Println(r.IntoArgs(r.Vector(), &other))
	// Output:
	// worker-1 ::1 <nil>
	// args[1]: got vector, want string
}

// Values without a struct are made and taken apart by hand.
func ExampleValue() {
	v := data.Vector(data.String("worker-1"), data.Count(5), data.Set(data.Enum("tcp"), data.Enum("udp")))
	name, _ := v.Elems()[0].AsString()
	n, ok := v.Elems()[1].AsInt()
	fmt.Println(name, n, ok, v.Elems()[2].Contains(data.Enum("tcp")))
	fmt.Println(v)
	// Output:
	// worker-1 0 false true
	// [worker-1, 5, {tcp, udp}]
}

// A reader walks over bytes without a tree; one look at the error at the end is enough.
func ExampleReader() {
	b := data.AppendValue(nil, data.Vector(data.Count(80), data.Count(443)))
	r := data.NewReader(b)
	sum := uint64(0)
	for range r.Vector() {
		sum += r.Count()
	}
	fmt.Println(sum, r.Finish())
	// Output: 523 <nil>
}
