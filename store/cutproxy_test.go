package store_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
)

// A cutProxy passes connections on to an address, and breaks each in the middle, after so many bytes.
type cutProxy struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	most   int64 // bytes until a connection breaks, in both directions together; 0: none breaks any more
	cuts   int
	conns  map[net.Conn]struct{}
}

func newCutProxy(t testing.TB, to string, most int64) *cutProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutProxy{l: l, to: to, most: most, random: rand.New(rand.NewPCG(1, 1)), conns: make(map[net.Conn]struct{})}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// pass passes a connection on until it is to break, which both ends notice.
func (p *cutProxy) pass(a net.Conn) {
	b, err := net.Dial("tcp", p.to)
	if err != nil {
		a.Close()
		return
	}
	p.mu.Lock()
	p.conns[a], p.conns[b] = struct{}{}, struct{}{}
	left := int64(1) << 62
	if p.most > 0 {
		left = p.random.Int64N(p.most)
	}
	p.mu.Unlock()
	var once sync.Once
	budget := make(chan int64, 1)
	budget <- left
	copying := func(dst, src net.Conn) {
		buf := make([]byte, 16<<10)
		for {
			n, err := src.Read(buf)
			left := <-budget
			budget <- left - int64(n)
			if n = int(min(int64(n), max(left, 0))); n > 0 {
				if _, err := dst.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil || left <= 0 {
				break
			}
		}
		once.Do(func() {
			p.mu.Lock()
			p.cuts++
			delete(p.conns, a)
			delete(p.conns, b)
			p.mu.Unlock()
			for _, c := range []net.Conn{a, b} {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		})
	}
	p.wg.Go(func() { copying(a, b) })
	copying(b, a)
}

// hold lets connections live from now on.
func (p *cutProxy) hold() (cuts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = 0
	return p.cuts
}

// Over real sockets with TLS connections break in the middle of everything. All that clones write is
// executed once, its outcome is known, and in the end all have the same.
func TestCutConnections(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	a := node(t, endpoint.WithSecurity(endpoint.AnonymousTLS()))
	addr, err := a.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	master := attachMaster(t, a)
	fill(t, master, 200, 1000)
	proxy := newCutProxy(t, addr.String(), 400<<10)
	var clones []*store.Store
	for range 3 {
		b := node(t, endpoint.WithSecurity(endpoint.AnonymousTLS()), endpoint.WithRetry(5*time.Millisecond))
		if _, err := b.Peer(proxy.l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		clones = append(clones, attachClone(t, b))
	}
	const writes = 4000
	var all sync.WaitGroup
	for i, clone := range clones {
		all.Go(func() {
			under := make(chan *store.Pending, 500)
			all.Go(func() {
				for p := range under {
					if o, err := p.Wait(ctx); o != store.Applied || err != nil {
						t.Errorf("clone %d: %v, %v", i, o, err)
					}
				}
			})
			defer close(under)
			for j := range writes {
				key := shared
				if j%2 == 0 {
					key = count(i)
				}
				p, err := clone.Submit(ctx, store.IncrementOp(key, count(1)))
				if err != nil {
					t.Error(err)
					return
				}
				under <- p
			}
		})
	}
	all.Wait()
	cuts := proxy.hold()
	for i, clone := range clones {
		same(t, ctx, master, clone)
		if v, err := clone.Get(ctx, count(i)); err != nil || !v.Equal(count(writes/2)) {
			t.Errorf("clone %d: %v, %v", i, v, err)
		}
	}
	if v, err := master.Get(ctx, shared); err != nil || !v.Equal(count(3*writes/2)) {
		t.Error(v, err)
	}
	if cuts < 5 {
		t.Errorf("only %d cuts", cuts)
	}
	t.Logf("%d cuts", cuts)
}
