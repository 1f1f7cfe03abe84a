package anontls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
)

// The benchmarks of records come in pairs: what the package does, and AES-256-CBC and HMAC-SHA1 on
// the same bytes with nothing else.

func modes(b *testing.B, f func(b *testing.B, etm bool, size int)) {
	for _, etm := range []bool{true, false} {
		for _, size := range []int{maxPlaintext, 1 << 10, 100} {
			b.Run(fmt.Sprintf("etm=%v/%d", etm, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				f(b, etm, size)
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	config := (*Config)(nil).withDefaults()
	modes(b, func(b *testing.B, etm bool, size int) {
		s, data, buffer := newSealer(testKeys, etm, config.random), make([]byte, size), make([]byte, 0, maxSealed)
		for b.Loop() {
			s.seal(buffer, recordData, data)
		}
	})
}

func BenchmarkSealPrimitives(b *testing.B) {
	for _, size := range []int{maxPlaintext, 1 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block, _ := aes.NewCipher(testKeys.key)
			cbc, mac := cipher.NewCBCEncrypter(block, make([]byte, 16)), hmac.New(sha1.New, testKeys.mac)
			data, out, sum := make([]byte, size), make([]byte, size), make([]byte, 0, macLen)
			b.SetBytes(int64(size))
			for b.Loop() {
				cbc.CryptBlocks(out, data)
				mac.Reset()
				mac.Write(out)
				mac.Sum(sum)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	modes(b, func(b *testing.B, etm bool, size int) {
		record := newSealer(testKeys, etm, fill).seal(nil, recordData, make([]byte, size))
		o, dst := newOpener(testKeys, etm), make([]byte, size+64)
		for b.Loop() {
			o.mac.seq = 0
			if _, err := o.open(dst, record); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpenPrimitives(b *testing.B) {
	for _, size := range []int{maxPlaintext, 1 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block, _ := aes.NewCipher(testKeys.key)
			cbc, mac := cipher.NewCBCDecrypter(block, make([]byte, 16)), hmac.New(sha1.New, testKeys.mac)
			data, out, sum := make([]byte, size), make([]byte, size), make([]byte, 0, macLen)
			b.SetBytes(int64(size))
			for b.Loop() {
				mac.Reset()
				mac.Write(data)
				mac.Sum(sum)
				cbc.CryptBlocks(out, data)
			}
		})
	}
}

// BenchmarkHandshake is both sides of a handshake over a connection in memory. cpu-ns/op is what the
// process took for it, whatever else the machine is doing.
func BenchmarkHandshake(b *testing.B) {
	before := cpuTime()
	for b.Loop() {
		client, server := pipe(b, nil, nil)
		client.conn.Close()
		server.conn.Close()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func BenchmarkHandshakePrimitives(b *testing.B) {
	before := cpuTime()
	for b.Loop() {
		one, _ := ecdh.P384().GenerateKey(rand.Reader)
		two, _ := ecdh.P384().GenerateKey(rand.Reader)
		first, _ := one.ECDH(two.PublicKey())
		second, _ := two.ECDH(one.PublicKey())
		if !bytes.Equal(first, second) {
			b.Fatal("no agreement")
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkDuplex sends in both directions at the same time over TCP. The bytes are those of both.
func BenchmarkDuplex(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			client, server := established(b, nil, nil)
			b.SetBytes(2 * int64(size))
			b.ReportAllocs()
			var wg sync.WaitGroup
			for _, end := range []*Conn{client, server} {
				wg.Go(func() {
					data := make([]byte, size)
					for range b.N {
						if _, err := end.Write(data); err != nil {
							b.Error(err)
							return
						}
					}
				})
				wg.Go(func() {
					data := make([]byte, 64<<10)
					for left := b.N * size; left > 0; {
						n, err := end.Read(data)
						if err != nil {
							b.Error(err)
							return
						}
						left -= n
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkIdle reports what an established connection costs that has sent and received much, and
// waits for more: one end, without the connection below it.
func BenchmarkIdle(b *testing.B) {
	const pairs = 200
	for b.Loop() {
		var conns [2 * pairs]*Conn
		before := liveBytes()
		var below [2 * pairs]*signalling
		for i := range pairs {
			a, b := net.Pipe()
			below[2*i], below[2*i+1] = &signalling{Conn: a}, &signalling{Conn: b}
		}
		pipes := liveBytes() - before
		for i := range pairs {
			client, server := Client(below[2*i], nil), Server(below[2*i+1], nil)
			if clientErr, serverErr := handshakes(client, server); clientErr != nil || serverErr != nil {
				b.Fatal(clientErr, serverErr)
			}
			go client.Write(make([]byte, 100_000))
			if _, err := io.ReadFull(server, make([]byte, 100_000)); err != nil {
				b.Fatal(err)
			}
			conns[2*i], conns[2*i+1] = client, server
		}
		waiting := make(chan struct{})
		var wg sync.WaitGroup
		for i, c := range conns {
			below[i].reads = waiting
			wg.Go(func() { c.Read(make([]byte, 1)) })
		}
		for range conns {
			<-waiting
		}
		b.ReportMetric(float64(liveBytes()-before-pipes)/(2*pairs), "B/conn")
		for _, c := range below {
			c.Close()
		}
		wg.Wait()
	}
}

// signalling tells of each Read.
type signalling struct {
	net.Conn
	reads chan struct{}
}

func (s *signalling) Read(b []byte) (int, error) {
	if s.reads != nil {
		s.reads <- struct{}{}
	}
	return s.Conn.Read(b)
}

func liveBytes() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what was in pools
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
