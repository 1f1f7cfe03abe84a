package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
)

// notifyTimeout bounds how long the service manager may keep us from going on.
const notifyTimeout = time.Second

// notify tells systemd how the node is, as sd_notify(3) does: READY=1 and the like, each a line. Without
// NOTIFY_SOCKET, as when somebody runs it by hand, nobody wants to know.
func notify(state ...string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // @ is an abstract one
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(notifyTimeout))
	if _, err = conn.Write([]byte(strings.Join(state, "\n"))); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// notifyLogged tells systemd, and whoever reads the log if it does not listen.
func notifyLogged(log *slog.Logger, state ...string) {
	if err := notify(state...); err != nil {
		log.Warn("systemd not told", "err", err)
	}
}
