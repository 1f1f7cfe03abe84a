//go:build unix

package endpoint

import (
	"net"
	"syscall"
)

// A nowWriter writes to a socket without ever waiting for room in it. It is not for several goroutines
// at a time.
type nowWriter struct {
	raw   syscall.RawConn
	try   func(fd uintptr) bool // made once, so that a write does not allocate
	frame []byte
	n     int
}

// newNowWriter returns nil if conn is not a socket: bytes under TLS cannot be taken back.
func newNowWriter(conn net.Conn) *nowWriter {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	w := &nowWriter{raw: raw}
	w.try = func(fd uintptr) bool {
		// An error shows again at the next ordinary write.
		w.n, _ = syscall.Write(int(fd), w.frame)
		return true
	}
	return w
}

// write returns how many bytes of frame the socket took.
func (w *nowWriter) write(frame []byte) int {
	w.frame, w.n = frame, 0
	if w.raw.Write(w.try) != nil {
		return 0
	}
	w.frame = nil
	return max(w.n, 0)
}
