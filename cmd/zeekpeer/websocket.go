package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/websocket"
)

// firstBackoff is how long a client of a WebSocket server waits before it dials again, at first.
const firstBackoff = 100 * time.Millisecond

// serveFlags are the flags of serve, besides those of every node.
type serveFlags struct {
	nodeFlags
	addr         string
	token        string
	origins      []string
	cert, key    string
	allowRemote  bool
	maxClients   int
	blocksStores bool
}

func serveCommand() *cobra.Command {
	f := serveFlags{nodeFlags: nodeFlags{output: "none"}}
	cmd := &cobra.Command{
		Use:   "serve [TOPIC...]",
		Short: "Run a node that serves WebSocket clients, relays between its peers, or both",
		Long: `serve runs a node for others. With --websocket it serves Broker's WebSocket API at the path
/v1/messages/json: clients publish to native peers and to each other, and receive what they subscribe to.
With topics, which are prefixes, it sends on what one native peer publishes under them to the others
that are subscribed. A Zeek node does not do that; do not make circles of nodes that do.

Who reaches the WebSocket port can read and publish everything. So it must be on loopback, unless clients
have to send a token ("Authorization: Bearer ..."), or --websocket-allow-remote says that it is meant so.

It runs until SIGINT or SIGTERM, or for the time of --for. Standard error tells of peers that come and go,
and ends with one line:

  native: N frames in, N out, D dropped; websocket: C clients, N messages in, N out, D dropped, V invalid

Exit codes: 0 success; 1 error; 2 wrong command line.`,
		Example: `  zeekpeer serve --peer 127.0.0.1:9999 --websocket 127.0.0.1:27759
  zeekpeer serve --listen :9999 --websocket :27759 --websocket-token token.txt --websocket-cert cert.pem --websocket-key key.pem
  zeekpeer serve --listen :9999 /test`,
		RunE: func(cmd *cobra.Command, topics []string) error {
			return f.run(cmd.Context(), topics, cmd.ErrOrStderr())
		},
	}
	f.addExcept(cmd, "output", "count", "timeout", "wait-peers")
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "websocket", "", "serve WebSocket clients at `ADDR`, such as 127.0.0.1:27759; port 0 is any")
	flags.StringVar(&f.token, "websocket-token", "", "demand the bearer token in `FILE`")
	flags.StringArrayVar(&f.origins, "websocket-origin", nil, "let in pages in browsers of the site `ORIGIN`, such as https://dash.example.com or https://*.example.com (repeatable)")
	flags.StringVar(&f.cert, "websocket-cert", "", "serve TLS (wss) with the certificate in `FILE`, in PEM")
	flags.StringVar(&f.key, "websocket-key", "", "the key of that certificate, a `FILE` in PEM")
	flags.IntVar(&f.maxClients, "websocket-clients", 1024, "serve `N` clients at a time at the most")
	flags.BoolVar(&f.allowRemote, "websocket-allow-remote", false, "serve an address other than loopback without a token")
	flags.BoolVar(&f.blocksStores, "i-know-this-blocks-stores", false, "allow topics, of clients, too, that keep Zeek nodes from creating stores")
	return cmd
}

// options makes the options of the WebSocket server.
func (f *serveFlags) options(stderr io.Writer) ([]websocket.ServerOption, error) {
	opts := []websocket.ServerOption{
		websocket.WithLogger(f.logger(stderr)), websocket.WithOrigins(f.origins...), websocket.WithMaxClients(f.maxClients),
	}
	if f.allowRemote {
		opts = append(opts, websocket.AllowRemote())
	}
	if f.blocksStores {
		opts = append(opts, websocket.AllowBlockingStores())
	}
	if f.token != "" {
		token, err := readToken(f.token)
		if err != nil {
			return nil, fmt.Errorf("--websocket-token: %w", err)
		}
		opts = append(opts, websocket.WithToken(token))
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--websocket-cert, --websocket-key: %w", err)
		}
		opts = append(opts, websocket.WithTLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	return opts, nil
}

func (f *serveFlags) run(ctx context.Context, topics []string, stderr io.Writer) error {
	if _, _, err := f.check(); err != nil {
		return err
	}
	if f.addr == "" && len(topics) == 0 {
		return usageError("nothing to serve: give --websocket ADDR for WebSocket clients, or topics to relay")
	}
	if f.addr != "" {
		if err := checkAddr(f.addr); err != nil {
			return usageError("--websocket %s: %w", f.addr, err)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return usageError("--websocket-cert and --websocket-key go together")
	}
	serverOpts, err := f.options(stderr)
	if err != nil {
		return err
	}
	var opts []endpoint.Option
	if len(topics) > 0 {
		opts = append(opts, endpoint.WithForwarding())
	}
	n, err := f.start(stderr, true, opts...)
	if err != nil {
		return err
	}
	defer n.end()
	if err := n.relay(topics, f.blocksStores); err != nil {
		return err
	}
	var server *websocket.Server
	if f.addr != "" {
		if n.security.rules != nil {
			serverOpts = append(serverOpts, websocket.WithAccess(n.security.clientAccess))
		}
		if server, err = websocket.Listen(ctx, n.Endpoint, f.addr, serverOpts...); err != nil {
			return fmt.Errorf("--websocket %s: %w", f.addr, reason(err))
		}
		defer shutdown(server)
		scheme := "ws"
		if f.cert != "" {
			scheme = "wss"
		}
		fmt.Fprintf(stderr, "serving %s://%v%s\n", scheme, server.Addr(), websocket.Path)
	}
	if err := n.connect(ctx); err != nil {
		return err
	}
	err = n.work(ctx)
	shutdown(server)
	n.end()
	report(stderr, n.Stats(), server)
	return err
}

// relay subscribes to what the node is to send on: peers send it nothing else.
func (n *node) relay(topics []string, blocksStores bool) error {
	if len(topics) == 0 {
		return nil
	}
	var opts []endpoint.SubscribeOption
	if blocksStores {
		opts = append(opts, endpoint.AllowBlockingStores())
	}
	s, err := n.subscribe(topics, opts...)
	if err != nil {
		return err
	}
	go func() {
		for range s.Messages(context.Background()) { // until the node ends
		}
	}()
	return nil
}

// shutdown takes leave of the WebSocket clients.
func shutdown(server *websocket.Server) {
	if server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	server.Shutdown(ctx)
}

// report writes the line with which serve ends.
func report(stderr io.Writer, s endpoint.Stats, server *websocket.Server) {
	var dropped uint64
	for _, n := range s.Dropped {
		dropped += n
	}
	fmt.Fprintf(stderr, "native: %d frames in, %d out, %d dropped", s.FramesIn, s.FramesOut, dropped)
	if server != nil {
		w := server.Stats()
		fmt.Fprintf(stderr, "; websocket: %d clients, %d messages in, %d out, %d dropped, %d invalid", w.Accepted, w.Received, w.Sent, w.Dropped+w.Unsent, w.Invalid)
	}
	fmt.Fprintln(stderr)
}

// addExcept adds the flags of every node but some, which mean nothing to a command that prints no
// messages.
func (f *nodeFlags) addExcept(cmd *cobra.Command, except ...string) {
	var all cobra.Command
	f.add(&all)
	all.Flags().VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(except, flag.Name) {
			cmd.Flags().AddFlag(flag)
		}
	})
	cmd.Flags().SortFlags = false
}

// logger returns a logger for what is not the endpoint.
func (f *nodeFlags) logger(stderr io.Writer) *slog.Logger {
	_, level, _ := f.checkValues()
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// readToken reads a token from a file.
func readToken(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: want one token of printable ASCII", name)
	}
	return token, nil
}
