package endpoint_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/anontls"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// An authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// certified are the configurations of a node with a certificate.
type certified struct{ client, server *tls.Config }

func (c certified) Client() *tls.Config { return c.client }
func (c certified) Server() *tls.Config { return c.server }

// node returns the configurations of a node that has a certificate of the authority under a common name
// and DNS names, and accepts those that have one, whatever their name, as Zeek does.
func (a *authority) node(t testing.TB, name string, dnsNames ...string) certified {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: dnsNames, NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return certified{
		client: &tls.Config{Certificates: own, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool})
			return err
		}},
		server: &tls.Config{Certificates: own, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert},
	}
}

// securities returns how a node can be protected, by name.
func securities(t testing.TB) map[string]endpoint.Security {
	ca := newAuthority(t)
	return map[string]endpoint.Security{
		"off":       endpoint.PlainTCP(),
		"anonymous": endpoint.AnonymousTLS(),
		"cert":      endpoint.CertificateTLS(ca.node(t, "node", "node.example")),
	}
}

// Nodes with the same security peer whoever dials, know each other's names, exchange messages of all
// sizes both ways, and take leave.
func TestSecurity(t *testing.T) {
	ca := newAuthority(t)
	for _, c := range []struct {
		name      string
		a, b      endpoint.Security
		seen, see []string // names of a, of b
	}{
		{"off", endpoint.PlainTCP(), endpoint.PlainTCP(), nil, nil},
		{"anonymous", endpoint.AnonymousTLS(), endpoint.AnonymousTLS(), nil, nil},
		{"cert", endpoint.CertificateTLS(ca.node(t, "a", "a.example", "other.example")), endpoint.CertificateTLS(ca.node(t, "b.example", "b.example")),
			[]string{"a", "a.example", "other.example"}, []string{"b.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.a.String() != c.name {
				t.Errorf("it says %q", c.a)
			}
			var asked atomic.Pointer[endpoint.Identity]
			a := newEndpoint(t, endpoint.WithSecurity(c.a))
			b := newEndpoint(t, endpoint.WithSecurity(c.b), endpoint.WithAccess(func(id endpoint.Identity) endpoint.Access {
				asked.Store(&id)
				return endpoint.Access{}
			}))
			subA, err := a.Subscribe([]string{"/to-a"})
			if err != nil {
				t.Fatal(err)
			}
			subB, err := b.Subscribe([]string{"/to-b"}, endpoint.WithStatus())
			if err != nil {
				t.Fatal(err)
			}
			next := statusReader(t, subB)
			for _, dialer := range []*endpoint.Endpoint{a, b} {
				listener := b
				if dialer == b {
					listener = a
				}
				p := connect(t, dialer, listen(t, listener))
				for _, e := range []*endpoint.Endpoint{a, b} {
					if err := e.WaitPeers(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				}
				if s := next(); s.Code != endpoint.PeerAdded {
					t.Errorf("status %v", s)
				}
				if got := a.Peers()[0].Names; !slices.Equal(got, c.see) {
					t.Errorf("a knows its peer as %q, want %q", got, c.see)
				}
				if got := b.Peers()[0].Names; !slices.Equal(got, c.seen) || !slices.Equal(asked.Load().Names, c.seen) {
					t.Errorf("b knows its peer as %q, its rules as %q, want %q", got, asked.Load().Names, c.seen)
				}
				for _, size := range []int{0, 100, 16 << 10, 3 << 20} {
					v := data.String(strings.Repeat("x", size))
					if n, err := a.Publish(t.Context(), "/to-b", v); n != 1 || err != nil {
						t.Fatalf("sent to %d, %v", n, err)
					}
					if n, err := b.Publish(t.Context(), "/to-a", v); n != 1 || err != nil {
						t.Fatalf("sent to %d, %v", n, err)
					}
					for _, sub := range []*endpoint.Subscription{subA, subB} {
						for m := range sub.Messages(t.Context()) {
							if got, err := m.Value(); err != nil || !got.Equal(v) {
								t.Fatalf("a message of %d bytes, %v; want %d", m.Len(), err, size)
							}
							break
						}
					}
				}
				p.Unpeer(t.Context())
				s := next()
				if dialer == a && (s.Code != endpoint.PeerLost || !errors.Is(s.Err, endpoint.ErrBye)) || dialer == b && s.Code != endpoint.PeerRemoved {
					t.Errorf("status %v", s)
				}
				if dialer == b {
					return // a may still see its peer
				}
				for len(a.Peers()) > 0 {
					if _, err := a.Ping(t.Context(), b.ID()); err == nil {
						t.Fatal("still peered")
					}
				}
			}
		})
	}
}

// Two nodes of different security do not peer. Each of them is told at once what the other one has on.
func TestSecurityMismatch(t *testing.T) {
	const (
		tlsOn   = "the peer has encryption on, this node off"
		tlsOff  = "the peer is a Broker node with TLS off, this node has it on"
		hasCert = "the peer has certificates, and this node is without"
		noCert  = "the peer is without a certificate"
		offers  = "the peer offers anonymous TLS, and this node has certificates"
	)
	modes := securities(t)
	for _, c := range []struct{ dialer, listener, dialerSays, listenerSays string }{
		{"off", "anonymous", tlsOn, tlsOff},
		{"off", "cert", tlsOn, tlsOff},
		{"anonymous", "off", tlsOff, tlsOn},
		{"cert", "off", tlsOff, tlsOn},
		{"anonymous", "cert", hasCert, offers},
		{"cert", "anonymous", noCert, hasCert},
	} {
		t.Run(c.dialer+" dials "+c.listener, func(t *testing.T) {
			listener := newEndpoint(t, endpoint.WithSecurity(modes[c.listener]))
			statuses, err := listener.Subscribe(nil, endpoint.WithStatus())
			if err != nil {
				t.Fatal(err)
			}
			dialer := newEndpoint(t, endpoint.WithSecurity(modes[c.dialer]))
			p, err := dialer.Peer(listen(t, listener), endpoint.RetryEvery(0))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Wait(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), c.dialerSays) {
				t.Errorf("the dialer says %v, want %q", err, c.dialerSays)
			}
			if s := statusReader(t, statuses)(); s.Code != endpoint.PeerInvalid || !errors.Is(s.Err, endpoint.ErrForeign) || !strings.Contains(s.Err.Error(), c.listenerSays) {
				t.Errorf("the listener says %v, want %q", s, c.listenerSays)
			}
			if got := listener.Stats(); got.Refused != 1 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// What strangers say to a node that has TLS on is named.
func TestTLSStrangers(t *testing.T) {
	modes := securities(t)
	for _, c := range []struct{ name, says, want string }{
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "SSH"},
		{"Broker before 2.3", "\x00\x00\x00\x00\x00\x00\x00\x50\x00\x00\x00\x00\x00\x00\x00\x05\x01\x02\x03", "Zeek 4.2"},
		{"a Broker node without TLS", string(wire.Hello{Sender: benchID, Min: 1, Max: 1}.AppendFrame(nil)), "TLS off"},
		{"garbage", strings.Repeat("\xaa\x55", 100), "not a Broker node"},
		{"nothing, then closed", "", "closed the connection"},
		{"a part of a ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "closed the connection"},
	} {
		for _, mode := range []string{"anonymous", "cert"} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				node := newEndpoint(t, endpoint.WithSecurity(modes[mode]))
				statuses, err := node.Subscribe(nil, endpoint.WithStatus())
				if err != nil {
					t.Fatal(err)
				}
				conn, err := net.Dial("tcp", listen(t, node))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				if _, err := io.WriteString(conn, c.says); err != nil {
					t.Fatal(err)
				}
				conn.(*net.TCPConn).CloseWrite()
				if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Errorf("not closed: %v", err)
				}
				s := statusReader(t, statuses)()
				foreign := !strings.Contains(c.want, "closed")
				if s.Code != endpoint.PeerInvalid || !strings.Contains(fmt.Sprint(s.Err), c.want) || errors.Is(s.Err, endpoint.ErrForeign) != foreign {
					t.Errorf("status %v, want %q", s, c.want)
				}
			})
		}
	}
}

// What a node that has TLS on meets instead of another one is named, too.
func TestTLSDialsStrangers(t *testing.T) {
	modes := securities(t)
	for _, c := range []struct{ name, answer, want string }{
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "SSH"},
		{"Broker before 2.3", "\x00\x00\x00\x00\x00\x00\x00\x50\x00\x00\x00\x00\x00\x00\x00\x05", "Zeek 4.2"},
		{"a Broker node without TLS", string(wire.Probe{}.AppendFrame(nil)), "TLS off"},
		{"hang-up", "", "closed the connection"},
	} {
		for _, mode := range []string{"anonymous", "cert"} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					conn.Read(make([]byte, 4096)) // the ClientHello
					io.WriteString(conn, c.answer)
				}()
				p, err := newEndpoint(t, endpoint.WithSecurity(modes[mode])).Peer(l.Addr().String(), endpoint.RetryEvery(0))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
			})
		}
	}
}

// A certificate of another authority, and none, are refused by both sides, also if the configuration
// forgot to ask for one.
func TestCertificateRefused(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	good := ours.node(t, "good")
	stranger := theirs.node(t, "stranger")
	stranger.client.VerifyConnection, stranger.server.ClientAuth = nil, tls.RequireAnyClientCert // trusts anybody
	bare := ours.node(t, "bare")
	bare.client.Certificates = nil
	careless := ours.node(t, "careless")
	careless.server.ClientAuth = tls.NoClientCert
	for _, c := range []struct {
		name             string
		dialer, listener certified
		says             string // the one who refuses
		byDialer         bool
	}{
		{"dialer of another authority", stranger, good, "unknown authority", false},
		{"listener of another authority", good, stranger, "unknown authority", true},
		{"dialer without", bare, good, "certificate", false},
		{"dialer without, and nobody asks", bare, careless, "presented no certificate", false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s, %s", c.name, tls.VersionName(version)), func(t *testing.T) {
				server := c.listener.server.Clone()
				server.MaxVersion = version
				listener := newEndpoint(t, endpoint.WithSecurity(endpoint.CertificateTLS(certified{c.listener.client, server})))
				statuses, err := listener.Subscribe(nil, endpoint.WithStatus())
				if err != nil {
					t.Fatal(err)
				}
				dialer := newEndpoint(t, endpoint.WithSecurity(endpoint.CertificateTLS(c.dialer)))
				p, err := dialer.Peer(listen(t, listener), endpoint.RetryEvery(0))
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.Wait(t.Context())
				s := statusReader(t, statuses)()
				if err == nil || s.Code != endpoint.PeerInvalid {
					t.Fatalf("peered: %v, %v", err, s)
				}
				says := s.Err
				if c.byDialer {
					says = err
				}
				if !strings.Contains(says.Error(), c.says) {
					t.Errorf("the dialer says %v, the listener %v, want %q", err, s.Err, c.says)
				}
			})
		}
	}
}

// What a configuration brings for each client is asked, too.
func TestCertificateConfigForClient(t *testing.T) {
	ca := newAuthority(t)
	c := ca.node(t, "chosen")
	chosen := c.server
	c.server = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }}
	listener := newEndpoint(t, endpoint.WithSecurity(endpoint.CertificateTLS(c)))
	dialer := newEndpoint(t, endpoint.WithSecurity(endpoint.CertificateTLS(ca.node(t, "dialer"))))
	connect(t, dialer, listen(t, listener))
	if got := dialer.Peers()[0].Names; !slices.Equal(got, []string{"chosen"}) {
		t.Errorf("names %q", got)
	}
}

// Who says nothing while TLS is to begin, or never ends, is cut off by the deadline, on both sides.
func TestTLSHandshakeDeadline(t *testing.T) {
	modes := securities(t)
	timeout := endpoint.WithHandshakeTimeout(200 * time.Millisecond)
	for _, mode := range []string{"anonymous", "cert"} {
		for name, says := range map[string]string{
			"silent":                    "",
			"after a part of a record":  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
			"after two bytes of no TLS": "\x00\x00",
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				node := newEndpoint(t, endpoint.WithSecurity(modes[mode]), timeout)
				statuses, err := node.Subscribe(nil, endpoint.WithStatus())
				if err != nil {
					t.Fatal(err)
				}
				conn, err := net.Dial("tcp", listen(t, node))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				io.WriteString(conn, says)
				// Two bytes that are none of TLS are a stranger as well as somebody too slow.
				late := func(err error) bool {
					return errors.Is(err, endpoint.ErrTimeout) || says == "\x00\x00" && errors.Is(err, endpoint.ErrForeign)
				}
				if s := statusReader(t, statuses)(); s.Code != endpoint.PeerInvalid || !late(s.Err) {
					t.Errorf("the listener says %v", s)
				}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				p, err := node.Peer(l.Addr().String(), endpoint.RetryEvery(0))
				if err != nil {
					t.Fatal(err)
				}
				silent, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer silent.Close()
				io.WriteString(silent, says)
				if _, err := p.Wait(t.Context()); !late(err) {
					t.Errorf("the dialer says %v", err)
				}
			})
		}
	}
}

// A logHook is called with each record of a log.
type logHook func(slog.Record)

func (h logHook) Enabled(context.Context, slog.Level) bool      { return true }
func (h logHook) Handle(_ context.Context, r slog.Record) error { h(r); return nil }
func (h logHook) WithAttrs([]slog.Attr) slog.Handler            { return h }
func (h logHook) WithGroup(string) slog.Handler                 { return h }

// Many whose TLS handshake does not go on make room for those that mean it, and are counted.
func TestTLSPendingEvicted(t *testing.T) {
	modes := securities(t)
	for _, mode := range []string{"anonymous", "cert"} {
		t.Run(mode, func(t *testing.T) {
			const limit, n = 4, 20
			evictions := make(chan struct{}, n)
			node := newEndpoint(t, endpoint.WithSecurity(modes[mode]), endpoint.WithMaxPending(limit),
				endpoint.WithLogger(slog.New(logHook(func(r slog.Record) {
					if strings.Contains(r.Message, "too many") {
						evictions <- struct{}{}
					}
				}))))
			addr := listen(t, node)
			var silent []net.Conn
			for i := range n {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if i%2 == 0 {
					io.WriteString(conn, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
				}
				silent = append(silent, conn)
			}
			// All but the newest are closed.
			for _, conn := range silent[:n-limit] {
				conn.SetReadDeadline(time.Now().Add(patience))
				if b, err := io.ReadAll(conn); len(b) > 0 || errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("got %x, %v", b, err)
				}
				<-evictions
			}
			if got := node.Stats().Refused; got != n-limit {
				t.Errorf("%d refused, want %d", got, n-limit)
			}
			good := newEndpoint(t, endpoint.WithSecurity(modes[mode]))
			connect(t, good, addr)
		})
	}
}

// A node closes at once though handshakes of TLS are under way, in both roles, and leaves nothing
// behind (see TestMain).
func TestTLSCloseDuringHandshake(t *testing.T) {
	modes := securities(t)
	for _, mode := range []string{"anonymous", "cert"} {
		t.Run(mode, func(t *testing.T) {
			node, err := endpoint.New(endpoint.WithSecurity(modes[mode]), endpoint.WithHandshakeTimeout(math.MaxInt64))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", listen(t, node))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p, err := node.Peer(l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			silent, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			if _, err := silent.Read(make([]byte, 1)); err != nil { // its handshake has begun
				t.Fatal(err)
			}
			if err := node.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := p.Wait(t.Context()); !errors.Is(err, endpoint.ErrClosed) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// dialSecret is dialRaw under anonymous TLS.
func dialSecret(t testing.TB, addr string, filter ...string) *rawPeer {
	t.Helper()
	conn := connectSecret(t, addr)
	conn.SetDeadline(time.Now().Add(patience))
	p, err := shake(conn, handshake.Dialer, wire.NewEndpointID(), filter...)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Time{})
	return p
}

func connectSecret(t testing.TB, addr string) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return anontls.Client(raw, nil)
}

// Under TLS, strangers are met as without, down to the code they are refused with.
func TestTLSHostileHandshakes(t *testing.T) {
	good := wire.Hello{Sender: benchID, Min: 1, Max: 1}.AppendFrame(nil)
	for _, c := range []struct {
		name string
		send []byte
		code wire.Code
		want string
	}{
		{"wrong magic", hello("KEEZ", 1, 1), wire.CodeWrongMagicNumber, `"KEEZ"`},
		{"versions 2-3", hello("ZEEK", 2, 3), wire.CodePeerIncompatible, "versions 2 to 3"},
		{"truncated hello", frame(6, 'Z', 'E', 'E', 'K', 1, 2), wire.CodeInvalidMessage, "ends too early"},
		{"overlong hello", frame(append(good[4:], 0)...), wire.CodeInvalidMessage, "left over"},
		{"2^31 bytes", []byte{0x80, 0, 0, 0, 6, 'Z', 'E', 'E', 'K', 0, 0, 0, 0, 0, 0, 0}, 0, "80 00 00 00"},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, "HTTP"},
		{"nothing, then closed", nil, 0, "closed the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := newEndpoint(t, endpoint.WithID(wire.EndpointID{0: 0xff, 15: 1}), endpoint.WithSecurity(endpoint.AnonymousTLS()))
			statuses, err := node.Subscribe(nil, endpoint.WithStatus())
			if err != nil {
				t.Fatal(err)
			}
			conn := connectSecret(t, listen(t, node)).(*anontls.Conn)
			conn.SetDeadline(time.Now().Add(patience))
			for _, b := range c.send { // a record for each byte
				if _, err := conn.Write([]byte{b}); err != nil {
					break // the node has seen enough
				}
			}
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			conn.CloseWrite()
			answer, _ := io.ReadAll(conn) // a reset, perhaps, but not the deadline
			code := wire.CodeNone
			for len(answer) > 0 {
				body, rest, _, err := wire.NextFrame(answer, 1<<20)
				if err != nil || body == nil {
					t.Fatalf("answer %x: %v", answer, err)
				}
				if msg, err := wire.ParseHandshake(body); err != nil {
					t.Fatal(err)
				} else if drop, ok := msg.(wire.DropConn); ok {
					code = drop.Code
				}
				answer = rest
			}
			if code != c.code {
				t.Errorf("refused with %v, want %v", code, c.code)
			}
			if s := statusReader(t, statuses)(); s.Code != endpoint.PeerInvalid || !strings.Contains(fmt.Sprint(s.Err), c.want) {
				t.Errorf("status %v, want %q", s, c.want)
			}
		})
	}
}

// Frames that cannot be used, cut into records at random or many in one, are dropped and counted, and
// what comes between them is delivered.
func TestTLSHostileFrames(t *testing.T) {
	node := newEndpoint(t, endpoint.WithSecurity(endpoint.AnonymousTLS()))
	sub, err := node.Subscribe([]string{"/test"}, endpoint.WithQueue(lossless))
	if err != nil {
		t.Fatal(err)
	}
	p := dialSecret(t, listen(t, node))
	forged := *p
	forged.id = wire.NewEndpointID()
	cut := p.data("/test", nil)
	binary.BigEndian.PutUint16(cut[wire.FrameHeaderLen+wire.TopicLenOffset:], 6)
	const rounds = 15
	large := data.AppendString(nil, strings.Repeat("x", 100_000))
	for i := range rounds {
		stream := slices.Concat(
			frame(1, 2, 3), cut, forged.data("/test", anEvent), frame(), p.data("/test", anEvent), p.data("/nobody", anEvent),
			p.data("/test", large),
			wire.AppendPing(nil, p.id, p.remote, make([]byte, 1<<20+1)), // too large to be answered
		)
		for at := 0; at < len(stream); {
			n := min(1+i*997, len(stream)-at)
			p.write(t, stream[at:at+n])
			if at += n; at > 1000 && i < 5 {
				p.write(t, stream[at:])
				break
			}
		}
	}
	p.answered(t)
	if got := len(waiting(sub)); got != 2*rounds {
		t.Errorf("%d delivered, want %d", got, 2*rounds)
	}
	got := p.about(t, node).Dropped
	want := map[endpoint.DropReason]uint64{
		endpoint.DropMalformed: 2 * rounds, endpoint.DropForgedSender: rounds, endpoint.DropNoSubscriber: rounds, endpoint.DropPongFlood: rounds,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dropped %v, want %v", got, want)
	}
}

// A frame above the limit, a record that is none, and a cut connection end the peering, each with an
// error that says so.
func TestTLSHostileEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p *rawPeer, raw net.Conn)
		want func(error) bool
	}{
		{"oversized frame", func(p *rawPeer, _ net.Conn) { p.Write(binary.BigEndian.AppendUint32(nil, math.MaxInt32)) }, func(err error) bool {
			var large *wire.FrameTooLargeError
			return errors.As(err, &large)
		}},
		{"record that is not sealed", func(_ *rawPeer, raw net.Conn) {
			raw.Write(append([]byte{0x17, 3, 3, 0, 64}, make([]byte, 64)...))
		}, func(err error) bool {
			var alert *anontls.AlertError
			return errors.As(err, &alert)
		}},
		{"cut", func(_ *rawPeer, raw net.Conn) { raw.Close() }, func(err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, endpoint.ErrBye)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := newEndpoint(t, endpoint.WithSecurity(endpoint.AnonymousTLS()))
			statuses, err := node.Subscribe(nil, endpoint.WithStatus())
			if err != nil {
				t.Fatal(err)
			}
			next := statusReader(t, statuses)
			raw, err := net.Dial("tcp", listen(t, node))
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			p, err := shake(anontls.Client(raw, nil), handshake.Dialer, wire.NewEndpointID())
			if err != nil {
				t.Fatal(err)
			}
			if s := next(); s.Code != endpoint.PeerAdded {
				t.Fatalf("status %v", s)
			}
			c.do(p, raw)
			if s := next(); s.Code != endpoint.PeerLost || !c.want(s.Err) {
				t.Errorf("status %v", s)
			}
		})
	}
}

// Peers under TLS that announce much, or ask for much and never read, cost what they send and no more.
func TestTLSHostileMemory(t *testing.T) {
	node := newEndpoint(t, endpoint.WithSecurity(endpoint.AnonymousTLS()), endpoint.WithPeerQueue(endpoint.QueueLimits{Bytes: 1 << 20}))
	addr := listen(t, node)
	before := heap()
	for range 20 {
		dialSecret(t, addr).write(t, binary.BigEndian.AppendUint32(nil, 60<<20))
	}
	stuck := dialSecret(t, addr, "/test") // reads nothing from now on
	if err := node.WaitPeers(t.Context(), 21); err != nil {
		t.Fatal(err)
	}
	large := data.String(strings.Repeat("x", 1<<20))
	const n = 100
	for range n {
		if sent, err := node.Publish(t.Context(), "/test", large); sent != 1 || err != nil {
			t.Fatal(sent, err)
		}
	}
	if used := int64(heap()) - int64(before); used > 20<<20 {
		t.Errorf("%d bytes in use", used)
	}
	if got := stuck.about(t, node).Dropped; got[endpoint.DropQueueFull] == 0 || got[endpoint.DropQueueFull] >= n {
		t.Errorf("dropped %v", got)
	}
}
