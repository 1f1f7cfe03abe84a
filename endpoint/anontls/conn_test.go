package anontls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipe returns both ends of a connection in memory, where every write waits for reads.
func pipe(t testing.TB, clientConfig, serverConfig *Config) (client, server *Conn) {
	t.Helper()
	a, b := net.Pipe()
	client, server = Client(a, clientConfig), Server(b, serverConfig)
	if err := errors.Join(handshakes(client, server)); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// raw sends records under the keys of c, past all that c would see to.
func raw(t testing.TB, c *Conn, typ recordType, bodies ...string) {
	t.Helper()
	var b []byte
	for _, body := range bodies {
		b = c.out.sealer.seal(b, typ, []byte(body))
	}
	if _, err := c.conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// TestDuplex sends and receives at both ends at the same time, in pieces of all sizes.
func TestDuplex(t *testing.T) {
	both(t, func(t *testing.T, etm bool) {
		client, server := established(t, &Config{noEtM: !etm}, nil)
		const total = 4 << 20
		var wg sync.WaitGroup
		for i, end := range []*Conn{client, server} {
			wg.Go(func() {
				random, sent := rand.New(rand.NewPCG(1, uint64(i))), rand.NewChaCha8([32]byte{byte(i)})
				for left := total; left > 0; {
					b := make([]byte, min(left, random.IntN([]int{10, 1000, 20_000, 200_000}[random.IntN(4)])))
					sent.Read(b)
					n, err := end.Write(b)
					if n != len(b) || err != nil {
						t.Errorf("wrote %d of %d bytes: %v", n, len(b), err)
						return
					}
					left -= n
				}
				if err := end.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				random, sent := rand.New(rand.NewPCG(2, uint64(i))), rand.NewChaCha8([32]byte{byte(1 - i)})
				for left := total; ; {
					b := make([]byte, random.IntN([]int{10, 1000, 20_000, 200_000}[random.IntN(4)]))
					n, err := end.Read(b)
					if n == 0 && len(b) == 0 && err == nil {
						continue
					}
					if err == io.EOF && left == 0 {
						return
					}
					want := make([]byte, n)
					sent.Read(want)
					if left -= n; n == 0 || err != nil || left < 0 || !bytes.Equal(b[:n], want) {
						t.Errorf("read %d bytes with %d left: %v", n, left, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if client.input.batch != nil || server.input.batch != nil || client.in.plain != nil || server.in.plain != nil {
			t.Error("a buffer was not given back")
		}
	})
}

// counting counts the calls, and how much they brought.
type counting struct {
	net.Conn
	reads, writes, longest int
}

func (c *counting) Read(b []byte) (int, error) {
	c.reads++
	return c.Conn.Read(b)
}

func (c *counting) Write(b []byte) (int, error) {
	c.writes, c.longest = c.writes+1, max(c.longest, len(b))
	return c.Conn.Write(b)
}

// TestBatches writes much at once: in full records, four to a write, and read as much at once.
func TestBatches(t *testing.T) {
	a, b := loopback(t)
	counted := &counting{Conn: a}
	record := &tap{Conn: counted}
	client, server := Client(record, deterministic(1)), Server(b, deterministic(2))
	if err := errors.Join(handshakes(client, server)); err != nil {
		t.Fatal(err)
	}
	counted.writes, counted.longest = 0, 0
	handshake := record.written.Len()
	data := make([]byte, 10*maxPlaintext+100)
	rand.NewChaCha8([32]byte{}).Read(data)
	read := make(chan error, 1)
	go func() { read <- expectBytes(server, data) }()
	if n, err := client.Write(data); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if counted.writes != 3 || counted.longest > batchLen || counted.longest <= 4*maxPlaintext {
		t.Errorf("%d writes of up to %d bytes", counted.writes, counted.longest)
	}
	list := records(record.written.Bytes()[handshake:])
	for i, r := range list {
		if i < 10 && len(r) < maxPlaintext {
			t.Errorf("record %d has %d bytes", i, len(r))
		}
	}
	if len(list) != 11 {
		t.Errorf("%d records", len(list))
	}
	if n, err := client.Write(nil); n != 0 || err != nil || counted.writes != 3 {
		t.Errorf("writing nothing: %d, %v, %d writes", n, err, counted.writes)
	}

	// The same again for a reader with a large buffer.
	s := &counting{Conn: newScript(record.written.Bytes())}
	again := Server(s, deterministic(2))
	if err := again.Handshake(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buffer := make([]byte, 1<<20)
	s.reads = 0
	for len(got) < len(data) {
		n, err := again.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if n < 2*maxPlaintext && len(got) > 0 && len(got)+n < len(data) {
			t.Errorf("a Read brought %d bytes", n)
		}
		got = append(got, buffer[:n]...)
	}
	if !bytes.Equal(got, data) || s.reads > 8 {
		t.Errorf("%d bytes with %d reads", len(got), s.reads)
	}
}

// TestBuffers looks at what a connection holds: nothing large once it has been read empty, and for a
// large record nothing large before much of it has come.
func TestBuffers(t *testing.T) {
	keys := newSealer(testKeys, true, fill)
	full := keys.seal(nil, recordData, make([]byte, maxPlaintext))
	small := keys.seal(nil, recordData, make([]byte, 100))
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	in := &input{conn: b}
	feed := func(bytes []byte) {
		go a.Write(bytes)
		for n := 0; n < len(bytes); {
			before := in.end - in.start
			if err := in.fill(); err != nil {
				t.Fatal(err)
			}
			n += in.end - in.start - before
		}
	}
	feed(full[:smallLen])
	if in.batch != nil {
		t.Error("a large buffer for a small part of a record")
	}
	feed(full[smallLen:])
	feed(small)
	if in.batch == nil || !in.whole() {
		t.Fatal("no record")
	}
	if got := in.take(len(full)); !bytes.Equal(got, full) || !in.whole() {
		t.Fatal("not the record")
	}
	in.take(len(small))
	feed(small)
	if in.batch != nil {
		t.Error("a large buffer for a small record")
	}
	for range 1000 {
		in.take(len(small))
		feed(small[:30])
		feed(small[30:])
		if got := in.pending(); !bytes.Equal(got, small) {
			t.Fatal("not the small record")
		}
	}
}

// TestLate has what a peer may and may not send once the connection is established.
func TestLate(t *testing.T) {
	helloRequest, clientHello := "\x00\x00\x00\x00", string(hello(nil)[5:])
	roles(t, func(t *testing.T, toClient bool) {
		ask, wrong := clientHello, helloRequest
		if toClient {
			ask, wrong = helloRequest, clientHello
		}
		for name, c := range map[string]struct {
			send func(peer *Conn)
			want Alert
			is   error
		}{
			"empty records": {func(p *Conn) { raw(t, p, recordData, make([]string, maxUseless)...) }, 0, nil},
			"more of them":  {func(p *Conn) { raw(t, p, recordData, make([]string, maxUseless+1)...) }, alertUnexpectedMessage, ErrFlood},
			"warnings":      {func(p *Conn) { raw(t, p, recordAlert, "\x01\x5a", "\x01\x64", "\x01\x70") }, 0, nil},
			"too many warnings": {func(p *Conn) {
				raw(t, p, recordAlert, strings.Split(strings.Repeat("\x01\x5a,", maxUseless)+"\x01\x5a", ",")...)
			}, alertUnexpectedMessage, ErrFlood},
			"a request":             {func(p *Conn) { raw(t, p, recordHandshake, ask) }, 0, nil},
			"a request in parts":    {func(p *Conn) { raw(t, p, recordHandshake, ask[:1], ask[1:3], ask[3:]) }, 0, nil},
			"many requests":         {func(p *Conn) { raw(t, p, recordHandshake, strings.Repeat(ask, maxUseless+1)) }, alertUnexpectedMessage, ErrFlood},
			"many records of them":  {func(p *Conn) { raw(t, p, recordHandshake, ask, ask, ask, ask, ask, ask, ask, ask, ask, ask, ask, ask) }, alertUnexpectedMessage, ErrFlood},
			"the wrong request":     {func(p *Conn) { raw(t, p, recordHandshake, wrong) }, alertUnexpectedMessage, nil},
			"a Finished":            {func(p *Conn) { raw(t, p, recordHandshake, "\x14\x00\x00\x0c"+strings.Repeat("x", 12)) }, alertUnexpectedMessage, nil},
			"a long message":        {func(p *Conn) { raw(t, p, recordHandshake, ask[:1]+"\x00\x40\x01") }, alertIllegalParameter, nil},
			"an empty message":      {func(p *Conn) { raw(t, p, recordHandshake, "") }, alertUnexpectedMessage, nil},
			"ChangeCipherSpec":      {func(p *Conn) { raw(t, p, recordChangeCipherSpec, "\x01") }, alertUnexpectedMessage, nil},
			"a record of type 24":   {func(p *Conn) { raw(t, p, 24, "\x01") }, alertUnexpectedMessage, nil},
			"a long alert":          {func(p *Conn) { raw(t, p, recordAlert, "\x01\x5a\x01") }, alertDecodeError, nil},
			"an alert of level 3":   {func(p *Conn) { raw(t, p, recordAlert, "\x03\x5a") }, alertDecodeError, nil},
			"data in a message":     {func(p *Conn) { raw(t, p, recordHandshake, ask[:2]); raw(t, p, recordData, "early") }, alertUnexpectedMessage, nil},
			"2^14+1 bytes":          {func(p *Conn) { raw(t, p, recordData, strings.Repeat("x", maxPlaintext+1)) }, alertRecordOverflow, nil},
			"2^14+2049 bytes":       {func(p *Conn) { p.conn.Write(appendHeader(nil, recordData, maxCiphertext+1)) }, alertRecordOverflow, nil},
			"a record of TLS 1.1":   {func(p *Conn) { p.conn.Write([]byte{23, 3, 2, 0, 16}) }, alertProtocolVersion, nil},
			"a record in the clear": {func(p *Conn) { p.conn.Write(appendPlain(nil, recordData, []byte("data"))) }, alertBadRecordMAC, nil},
			"a changed record": {func(p *Conn) {
				b := p.out.sealer.seal(nil, recordData, []byte("data"))
				b[len(b)-1] ^= 1
				p.conn.Write(b)
			}, alertBadRecordMAC, nil},
			"a record again": {func(p *Conn) {
				b := p.out.sealer.seal(nil, recordData, nil)
				p.conn.Write(append(bytes.Clone(b), b...))
			}, alertBadRecordMAC, nil},
		} {
			t.Run(name, func(t *testing.T) {
				conn, peer := established(t, nil, nil)
				if !toClient {
					conn, peer = peer, conn
				}
				raw(t, peer, recordData, "before")
				c.send(peer)
				if c.want == 0 {
					raw(t, peer, recordData, " and after")
					if err := expectBytes(conn, []byte("before and after")); err != nil {
						t.Error(err)
					}
					if _, err := conn.Write([]byte("answer")); err != nil {
						t.Error(err)
					}
					if err := expectBytes(peer, []byte("answer")); err != nil {
						t.Error(err)
					}
					return
				}
				got, err := io.ReadAll(conn)
				if code := alertOf(t, err, false); string(got) != "before" || code != c.want || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%q, %v", got, err)
				}
				if _, again := conn.Read(make([]byte, 1)); again != err {
					t.Errorf("reading again: %v", again)
				}
				if _, again := conn.Write([]byte("data")); again != err {
					t.Errorf("writing: %v", again)
				}
				if _, err = io.ReadAll(peer); alertOf(t, err, true) != c.want {
					t.Errorf("the peer sees %v", err)
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// TestReadDoesNotWait has data in one segment with a record that carries nothing. The data must not
// wait for what comes after that.
func TestReadDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, nil, nil)
		go io.Copy(io.Discard, server) // takes the answer to the request
		for _, useless := range []struct {
			typ  recordType
			body string
		}{{recordData, ""}, {recordAlert, "\x01\x5a"}, {recordHandshake, "\x00\x00\x00\x00"}} {
			b := server.out.sealer.seal(nil, recordData, []byte("data"))
			b = server.out.sealer.seal(b, useless.typ, []byte(useless.body))
			go server.conn.Write(b)
			buffer := make([]byte, 100)
			if n, err := client.Read(buffer); string(buffer[:n]) != "data" || err != nil {
				t.Fatalf("got %q, %v", buffer[:n], err)
			}
		}
		client.Close()
		server.Close()
	})
}

// TestRefusedRenegotiation looks for the answer to a request.
func TestRefusedRenegotiation(t *testing.T) {
	client, server := established(t, nil, nil)
	raw(t, server, recordHandshake, "\x00\x00\x00\x00")
	raw(t, server, recordData, "x")
	if err := expectBytes(client, []byte("x")); err != nil {
		t.Fatal(err)
	}
	server.in.Lock()
	defer server.in.Unlock()
	typ, body, err := server.readRecord(nil)
	if err != nil || typ != recordAlert || !bytes.Equal(body, []byte{levelWarning, byte(alertNoRenegotiation)}) {
		t.Errorf("got type %d, %x, %v", typ, body, err)
	}
}

func TestReadDeadline(t *testing.T) {
	client, server := established(t, nil, nil)
	record := client.out.sealer.seal(nil, recordData, []byte("one record in two parts"))
	for _, part := range [][]byte{nil, record[:3], record[3:40]} {
		client.conn.Write(part)
		server.SetReadDeadline(time.Now().Add(-time.Second))
		n, err := server.Read(make([]byte, 100))
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %d, %v", n, err)
		}
		server.SetReadDeadline(time.Now().Add(patience))
	}
	client.conn.Write(record[40:])
	if err := expectBytes(server, []byte("one record in two parts")); err != nil {
		t.Error(err)
	}
}

func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, nil, nil)
		client.SetWriteDeadline(time.Now().Add(time.Minute))
		go io.CopyN(io.Discard, server.conn, batchLen+1000)
		n, err := client.Write(make([]byte, 10*maxPlaintext))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != 4*maxPlaintext {
			t.Errorf("got %d, %v", n, err)
		}
		client.SetWriteDeadline(time.Time{})
		if _, again := client.Write([]byte("x")); again != err {
			t.Errorf("writing after half a record: %v", again)
		}
		if again := client.CloseWrite(); again != err {
			t.Errorf("closing after half a record: %v", again)
		}
		// Nor does Close put an alert into the middle of a record.
		rest := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(server.conn)
			rest <- b
		}()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if b := <-rest; len(b) != 0 {
			t.Errorf("%d bytes after half a record", len(b))
		}
		server.Close()
	})
}

// TestClose closes while others read and write, with a peer that takes nothing.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, nil, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := client.Write(make([]byte, 100)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the Write under way: %d, %v", n, err)
			}
		})
		wg.Go(func() {
			if n, err := client.Read(make([]byte, 100)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the Read under way: %d, %v", n, err)
			}
		})
		synctest.Wait() // both are waiting
		start := time.Now()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if time.Since(start) != 0 {
			t.Errorf("Close took %v", time.Since(start))
		}
		if err := client.Close(); err != net.ErrClosed {
			t.Errorf("closing twice: %v", err)
		}
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("wrote to a closed connection")
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the peer, without close_notify: %v", err)
		}
		server.Close()

		// Nobody is writing, and the peer does not read either: close_notify gets a second.
		client, server = pipe(t, nil, nil)
		start = time.Now()
		if err := client.Close(); err != nil || time.Since(start) != alertTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, err := client.Write([]byte("x")); err != net.ErrClosed {
			t.Errorf("writing to a closed connection: %v", err)
		}
		server.Close()
	})
}

// TestCloseDuringHandshake ends a handshake that waits.
func TestCloseDuringHandshake(t *testing.T) {
	roles(t, func(t *testing.T, toClient bool) {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			conn := newConn(a, nil, toClient)
			done := make(chan error, 1)
			go func() { done <- conn.Handshake() }()
			go io.Copy(io.Discard, b)
			synctest.Wait()
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("got %v", err)
			}
			b.Close()
		})
	})
}

// TestAlertPastBlockedWriter has a peer that sends nonsense and takes nothing, while we write: the
// alert must neither wait for ever nor get into the middle of a record.
func TestAlertPastBlockedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, nil, nil)
		wrote := make(chan error, 1)
		go func() { _, err := client.Write(make([]byte, 100)); wrote <- err }()
		synctest.Wait()
		start := time.Now()
		go server.conn.Write(server.out.sealer.seal(nil, recordChangeCipherSpec, []byte{1}))
		_, err := client.Read(make([]byte, 1))
		if alertOf(t, err, false) != alertUnexpectedMessage || time.Since(start) > alertTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the Write under way: %v", err)
		}
		client.Close()
		server.Close()
	})
}

func TestCloseWrite(t *testing.T) {
	client, server := established(t, nil, nil)
	if err := Client(nil, nil).CloseWrite(); err == nil {
		t.Error("CloseWrite before the handshake")
	}
	for range 2 {
		if err := client.CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.Write([]byte("x")); err != errWriteClosed {
		t.Errorf("writing after that: %v", err)
	}
	for range 2 {
		if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the peer: %d, %v", n, err)
		}
	}
	// The other direction goes on.
	if _, err := server.Write([]byte("still there")); err != nil {
		t.Error(err)
	}
	if err := expectBytes(client, []byte("still there")); err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after Close: %v", err)
	}
}

// TestCloseUnderLoad closes both ends while four goroutines read and write, many times.
func TestCloseUnderLoad(t *testing.T) {
	for i := range 20 {
		client, server := established(t, nil, nil)
		var moved atomic.Int64
		enough := make(chan struct{})
		var once, wg = sync.Once{}, sync.WaitGroup{}
		for _, end := range []*Conn{client, server} {
			wg.Go(func() {
				for b := make([]byte, 10_000); ; {
					if _, err := end.Write(b); err != nil {
						return
					}
				}
			})
			wg.Go(func() {
				for b := make([]byte, 50_000); ; {
					n, err := end.Read(b)
					if moved.Add(int64(n)) > int64(i)*30_000 {
						once.Do(func() { close(enough) })
					}
					if err != nil {
						once.Do(func() { close(enough) })
						return
					}
				}
			})
		}
		<-enough
		wg.Go(func() { client.Close() })
		wg.Go(func() { server.Close() })
		wg.Wait()
	}
}

// TestImplicitHandshake lets Read and Write make the handshake, at the same time.
func TestImplicitHandshake(t *testing.T) {
	a, b := loopback(t)
	client, server := Client(a, nil), Server(b, nil)
	if client.ConnectionState().HandshakeComplete {
		t.Error("complete before it began")
	}
	var wg sync.WaitGroup
	for _, end := range []*Conn{client, server} {
		for range 3 {
			wg.Go(func() {
				if _, err := end.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := expectBytes(end, []byte("x")); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := end.HandshakeContext(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if !client.ConnectionState().HandshakeComplete || client.LocalAddr() != a.LocalAddr() || client.RemoteAddr() != a.RemoteAddr() {
		t.Error("not what it wraps")
	}
}

// TestNoProgress has a connection below that returns nothing and no error.
func TestNoProgress(t *testing.T) {
	s := newScript(nil)
	s.Reader = readerFunc(func([]byte) (int, error) { return 0, nil })
	if err := Server(s, nil).Handshake(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestDataBehindFinished reads what came in one segment with the end of the handshake.
func TestDataBehindFinished(t *testing.T) {
	r := record(t, nil)
	roles(t, func(t *testing.T, toClient bool) {
		_, got, err := replay(toClient, nil, r.sent(toClient))
		if string(got) != wantText(toClient) || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func Example() {
	a, b := net.Pipe()
	go func() {
		server := Server(b, nil)
		defer server.Close()
		io.Copy(server, server) // sends back what it receives
	}()
	client := Client(a, nil)
	defer client.Close()
	if err := client.HandshakeContext(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(client, "read by nobody but the peer, whoever that is")
	buffer := make([]byte, 100)
	n, err := client.Read(buffer)
	fmt.Println(string(buffer[:n]), err)
	// Output: read by nobody but the peer, whoever that is <nil>
}
