package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/bridge"
	"github.com/zeekpeer/zeekpeer/endpoint/websocket"
)

// bridgeFlags are the flags of bridge, besides those of every node.
type bridgeFlags struct {
	nodeFlags
	url           string
	token         string
	ca            string
	maps, out, in []string
	config        bridge.Config
}

func bridgeCommand() *cobra.Command {
	f := bridgeFlags{nodeFlags: nodeFlags{output: "none"}}
	cmd := &cobra.Command{
		Use:   "bridge --websocket URL",
		Short: "Connect a native Broker network with a Zeek cluster through its WebSocket API",
		Long: `bridge carries messages between the native peers of this node and a cluster of Zeek 8 or 9, whatever
transport that uses inside, through its WebSocket API. So endpoints that speak the native protocol keep
working while a fleet moves from Broker to ZeroMQ.

What crosses are the messages under the mapped topics. Without a map these are the topics of Zeek's
cluster framework: zeek/cluster/ natively, zeek.cluster. on the WebSocket side. A map names the native
prefix, then the other; in what follows them, slashes become dots and dots slashes if the prefixes differ
in that. Zeek takes only events whose names its scripts know, and answers others by errors, which are
counted as rejected. The last example below lets endpoints answer on topics that scripts send them in
events, such as that of a single node.

A message that has crossed is not sent back: those that come back within --window are dropped as loops.
While another zeekpeer bridge is on the native network, so are messages that equal earlier ones.

It runs until SIGINT or SIGTERM, or for the time of --for. What comes while one side cannot be reached
waits in bounded queues. Standard error tells of peers and connections, and ends with one line:

  to websocket: N forwarded, D dropped (by reason); to native: N forwarded, D dropped (by reason)

Exit codes: 0 success; 1 error; 2 wrong command line.`,
		Example: `  zeekpeer bridge --listen 127.0.0.1:9999 --websocket ws://127.0.0.1:27759/v1/messages/json
  zeekpeer bridge --peer 10.0.0.1:9999 --websocket ws://10.0.0.2:27759 --map zeek/cluster/=zeek.cluster. --map /my/app/=/my/app/
  zeekpeer bridge --listen :9999 --websocket wss://zeek:27759 --websocket-ca ca.pem --map-in /alerts/=alerts.
  zeekpeer bridge --listen :9999 --websocket ws://zeek:27759 --map zeek/cluster/=zeek.cluster. --map-out zeek.cluster.=zeek.cluster.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("bridge takes no arguments: give topics as --map NATIVE=WEBSOCKET")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.ErrOrStderr())
		},
	}
	f.addExcept(cmd, "output", "count", "timeout", "wait-peers")
	flags := cmd.Flags()
	flags.StringVar(&f.url, "websocket", "", "the WebSocket API of Zeek, a `URL` such as ws://127.0.0.1:27759 or wss://zeek:27759 (required)")
	flags.StringVar(&f.token, "websocket-token", "", "send the bearer token in `FILE`")
	flags.StringVar(&f.ca, "websocket-ca", "", "trust the certificate authorities in `FILE`, in PEM, for wss (default: those of the system)")
	flags.StringArrayVar(&f.maps, "map", nil, "carry messages under the prefixes `NATIVE=WEBSOCKET` both ways (repeatable; default zeek/cluster/=zeek.cluster.)")
	flags.StringArrayVar(&f.out, "map-out", nil, "the same, but only from native peers to the WebSocket side: `NATIVE=WEBSOCKET` (repeatable)")
	flags.StringArrayVar(&f.in, "map-in", nil, "the same, but only from the WebSocket side to native peers: `NATIVE=WEBSOCKET` (repeatable)")
	flags.DurationVar(&f.config.Window, "window", bridge.DefaultWindow, "remember for `DUR` what has crossed, to find loops")
	flags.BoolVar(&f.config.AllowBlockingStores, "i-know-this-blocks-stores", false, "allow topics that keep Zeek nodes from creating stores")
	return cmd
}

// configure makes the configuration of the flags.
func (f *bridgeFlags) configure() error {
	if !strings.HasPrefix(f.url, "ws://") && !strings.HasPrefix(f.url, "wss://") {
		return usageError("--websocket %s: want a URL such as ws://127.0.0.1:27759 or wss://zeek:27759", f.url)
	}
	if f.retry == 0 {
		return usageError("--retry 0: a bridge dials again")
	}
	if f.config.Window <= 0 {
		return usageError("--window %v: want more than zero", f.config.Window)
	}
	for _, list := range []struct {
		flag    string
		values  []string
		out, in bool
	}{{"map", f.maps, true, true}, {"map-out", f.out, true, false}, {"map-in", f.in, false, true}} {
		for _, value := range list.values {
			native, webSocket, ok := strings.Cut(value, "=")
			if !ok {
				return usageError("--%s %s: want NATIVE=WEBSOCKET, such as zeek/cluster/=zeek.cluster.", list.flag, value)
			}
			m := bridge.Map{From: native, To: webSocket}
			if list.out {
				f.config.ToWebSocket = append(f.config.ToWebSocket, m)
			}
			if list.in {
				f.config.ToNative = append(f.config.ToNative, m.Reverse())
			}
		}
	}
	f.config.Client = []websocket.ClientOption{
		websocket.WithApplicationName("zeekpeer-bridge"),
		websocket.WithBackoff(min(f.retry, firstBackoff), f.retry),
	}
	if f.token != "" {
		token, err := readToken(f.token)
		if err != nil {
			return fmt.Errorf("--websocket-token: %w", err)
		}
		f.config.Client = append(f.config.Client, websocket.WithToken(token))
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return fmt.Errorf("--websocket-ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--websocket-ca %s: no certificates in PEM", f.ca)
		}
		f.config.Client = append(f.config.Client, websocket.WithTLS(&tls.Config{RootCAs: roots}))
	}
	return nil
}

func (f *bridgeFlags) run(ctx context.Context, stderr io.Writer) error {
	if _, _, err := f.check(); err != nil {
		return err
	}
	if err := f.configure(); err != nil {
		return err
	}
	n, err := f.start(stderr, true)
	if err != nil {
		return err
	}
	defer n.end()
	f.config.Logger = f.logger(stderr)
	f.config.Status = (&webSocketWatcher{stderr: stderr, url: f.url}).status
	b, err := bridge.New(n.Endpoint, f.url, f.config)
	if blocks, ok := errors.AsType[*endpoint.BlocksStoresError](err); ok {
		return usageError("subscribing to %q keeps Zeek nodes from creating stores whose topics begin so. Map a longer topic, or add --i-know-this-blocks-stores", blocks.Topic)
	} else if err != nil {
		return usageError("%w", err)
	}
	if err := n.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := f.limited(ctx)
	defer cancel()
	err = b.Run(ctx)
	n.end()
	s := b.Stats()
	fmt.Fprintf(stderr, "to websocket: %v; to native: %v\n", s.ToWebSocket, s.ToNative)
	return err
}

// A webSocketWatcher tells on standard error what happens to the connection of a bridge.
type webSocketWatcher struct {
	stderr  io.Writer
	url     string
	trouble string // what was told last
}

func (w *webSocketWatcher) status(s websocket.Status) {
	text := ""
	switch s.Code {
	case websocket.Connected:
		w.trouble = ""
		fmt.Fprintf(w.stderr, "connected to %s (%s, version %s)\n", w.url, s.Endpoint, s.Version)
		return
	case websocket.Lost:
		text = fmt.Sprintf("lost %s: %v", w.url, closeReason(s.Err))
	case websocket.Unavailable:
		text = fmt.Sprintf("no connection to %s: %v", w.url, s.Err)
	}
	if text != "" && text != w.trouble {
		w.trouble = text
		fmt.Fprintf(w.stderr, "%s; trying again\n", text)
	}
}

// closeReason returns why a WebSocket connection ended, without the steps in which that was noticed.
func closeReason(err error) error {
	if e, ok := errors.AsType[websocket.CloseError](err); ok {
		return fmt.Errorf("closed by the server with code %d, %q", e.Code, e.Reason)
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the server closed the connection")
	}
	return err
}
