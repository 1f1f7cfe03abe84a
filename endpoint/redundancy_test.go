package endpoint_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/memnet"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// A node with middleID is smaller than highID and larger than lowID, so its peers' ids choose whether
// it is the originator of a handshake.
var (
	middleID = wire.EndpointID{0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x48, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88}
	lowID    = wire.EndpointID{6: 0x40, 8: 0x80, 15: 1}
	highID   = wire.EndpointID{0: 0xff, 6: 0x4f, 8: 0xbf, 15: 0xfe}
)

// answer makes p answer pings from now on, and drop everything else.
func (p *rawPeer) answer() {
	go func() {
		for {
			body, err := p.readFrame()
			if err != nil {
				return
			}
			if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypePing {
				p.Write(wire.AppendPong(nil, p.id, p.remote, e.Payload))
			}
		}
	}()
}

// codes returns the codes of statuses, with the errors that they wrap, if any of those.
func codes(statuses []endpoint.Status, errs ...error) (all []string) {
	for _, s := range statuses {
		line := s.Code.String()
		for _, err := range errs {
			if errors.Is(s.Err, err) {
				line += ": " + err.Error()
			}
		}
		all = append(all, line)
	}
	return all
}

// A second connection under the id of a peer is refused in the very bytes that the reference uses, and
// the first one stays.
func TestSecondConnectionAsRecorded(t *testing.T) {
	for name, id := range map[string]wire.EndpointID{"peer-is-originator": lowID, "peer-is-responder": highID} {
		t.Run(name, func(t *testing.T) {
			var send, want []byte
			recorded, err := os.ReadFile("../interop/testdata/wire/reject-redundant-" + name + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(recorded) {
				var row struct{ Dir, Hex string }
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				frame, err := hex.DecodeString(row.Hex)
				if err != nil {
					t.Fatal(err)
				}
				switch row.Dir {
				case "peer->node":
					send = append(send, frame...)
				case "node->peer":
					want = append(want, frame...)
				}
			}
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t, endpoint.WithID(middleID))
				statuses := subscribe(t, node, nil, endpoint.WithStatus())
				addr := listen(t, node)
				first := n.dialRaw(t, addr, wire.EndpointID(send[9:25]))
				if first.id != id && name == "peer-is-responder" != (first.id.Compare(middleID) > 0) {
					t.Fatalf("recorded as %v", first.id)
				}
				first.answer()
				second, err := n.Dial(t.Context(), "tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer second.Close()
				if _, err := second.Write(send); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(second); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %x, %v, want %x", got, err, want)
				}
				equal(t, "statuses", codes(statusesOf(t, statuses)), []string{"peer_added"})
				if _, err := node.Ping(t.Context(), first.id); err != nil {
					t.Errorf("the first connection: %v", err)
				}
			})
		})
	}
}

// refusal reads what a node answers on a connection, up to a drop_conn, and returns its code.
func refusal(t *testing.T, p *rawPeer) wire.Code {
	t.Helper()
	for {
		body, err := p.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		msg, err := wire.ParseHandshake(body)
		if err != nil {
			t.Fatal(err)
		}
		if drop, ok := msg.(wire.DropConn); ok {
			return drop.Code
		}
	}
}

// While a handshake with a node is under way, another connection under its id waits: it is refused if
// the first becomes a peer, and goes on if it does not.
func TestThirdConnectionWaits(t *testing.T) {
	for _, succeeds := range []bool{true, false} {
		t.Run(fmt.Sprint("first succeeds: ", succeeds), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t, endpoint.WithID(middleID))
				addr := listen(t, node)
				open := func() *rawPeer {
					conn, err := n.Dial(t.Context(), "tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					p := &rawPeer{Conn: conn, r: bufio.NewReader(conn), id: highID, remote: middleID}
					p.write(t, wire.Hello{Sender: highID, Min: 1, Max: 1}.AppendFrame(nil))
					synctest.Wait()
					return p
				}
				first := open() // has a version_select and originator_syn to answer
				second, third := open(), open()
				time.Sleep(5 * time.Second)
				if len(second.peek(t)) > len(wire.Probe{}.AppendFrame(nil)) {
					t.Error("the second was answered")
				}
				if succeeds {
					first.write(t, wire.ResponderSynAck{}.AppendFrame(nil))
					for range 4 { // probe, version_select, originator_syn, originator_ack
						if _, err := first.readFrame(); err != nil {
							t.Fatal(err)
						}
					}
					first.answer()
					for _, p := range []*rawPeer{second, third} {
						if code := refusal(t, p); code != wire.CodeRedundantConnection {
							t.Errorf("refused with %v", code)
						}
					}
				} else {
					first.Close()
					synctest.Wait()
					for _, p := range []*rawPeer{second, third} { // whichever is first now
						if len(p.peek(t)) > len(wire.Probe{}.AppendFrame(nil)) {
							p.write(t, wire.ResponderSynAck{}.AppendFrame(nil))
						}
					}
				}
				synctest.Wait()
				if peers := node.Peers(); len(peers) != 1 || peers[0].ID != highID {
					t.Errorf("peers %+v", peers)
				}
			})
		})
	}
}

// peek returns what has arrived and was not read.
func (p *rawPeer) peek(t *testing.T) []byte {
	t.Helper()
	synctest.Wait()
	p.SetReadDeadline(time.Now())
	defer p.SetReadDeadline(time.Time{})
	b, err := p.r.Peek(1 << 10)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return b
}

// When two nodes dial each other at once, one connection survives, the same on both sides, whichever
// of them has the smaller id; and nobody hears of the other one.
func TestSimultaneousDialsInOneMoment(t *testing.T) {
	for round := range 50 {
		onMemNet(t, func(t *testing.T, n *memNet) {
			ids := []wire.EndpointID{lowID, highID}
			a, b := n.node(t, endpoint.WithID(ids[round%2])), n.node(t, endpoint.WithID(ids[1-round%2]))
			seenByA, seenByB := subscribe(t, a, []string{"/x"}, endpoint.WithStatus()), subscribe(t, b, []string{"/x"}, endpoint.WithStatus())
			addrA, addrB := listen(t, a), listen(t, b)
			var peerings []*endpoint.Peering
			for _, dial := range []struct {
				from *endpoint.Endpoint
				addr string
			}{{a, addrB}, {b, addrA}, {a, addrB}} { // a even twice
				p, err := dial.from.Peer(dial.addr)
				if err != nil {
					t.Fatal(err)
				}
				peerings = append(peerings, p)
			}
			for i, want := range []wire.EndpointID{b.ID(), a.ID(), b.ID()} {
				if id, err := peerings[i].Wait(t.Context()); id != want || err != nil {
					t.Fatalf("peering %d: %v, %v", i, id, err)
				}
			}
			publish(t, a, "/x/a", 1, 1)
			publish(t, b, "/x/b", 1, 1)
			time.Sleep(time.Minute)
			for what, sub := range map[string]*endpoint.Subscription{"a": seenByA, "b": seenByB} {
				all := arrived(t, sub)
				if len(all) != 2 || all[0].Status == nil || all[0].Status.Code != endpoint.PeerAdded || all[1].Status != nil {
					t.Errorf("%s saw %v", what, all)
				}
			}
			if atA, atB := a.Peers(), b.Peers(); len(atA) != 1 || len(atB) != 1 || atA[0].Dialed == atB[0].Dialed {
				t.Errorf("peers %+v and %+v", atA, atB)
			}
			if dials := len(n.Dials()); dials != 3 {
				t.Errorf("dialed %d times", dials)
			}
		})
	}
}

// refuse makes a listener that answers each connection with a drop_conn in the name of id. It returns
// its address.
func (n *memNet) refuse(t *testing.T, id wire.EndpointID, code wire.Code) string {
	t.Helper()
	l, err := n.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(conn, make([]byte, len(wire.Hello{}.AppendFrame(nil))))
			conn.Write(wire.DropConn{Sender: id, Code: code, Description: "redundant connection"}.AppendFrame(nil))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// A dialer that is told "redundant connection" has what it wants if it knows of the other connection,
// and dials again when that one is lost. Otherwise, and whenever it is told "logic error", the other
// node has not noticed yet that the old connection is gone, and the dialer tries again.
func TestToldRedundant(t *testing.T) {
	for _, c := range []struct {
		code    wire.Code
		peered  bool
		success bool
	}{
		{wire.CodeRedundantConnection, true, true},
		{wire.CodeRedundantConnection, false, false},
		{wire.CodeLogicError, true, false},
		{wire.CodeLogicError, false, false},
	} {
		t.Run(fmt.Sprint(c.code, " peered: ", c.peered), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t)
				statuses := subscribe(t, node, nil, endpoint.WithStatus())
				other := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
				other.answer()
				refusing := other.id
				if !c.peered {
					refusing = wire.NewEndpointID()
				}
				before := len(n.Dials())
				p, err := node.Peer(n.refuse(t, refusing, c.code))
				if err != nil {
					t.Fatal(err)
				}
				if c.success {
					if id, err := p.Wait(t.Context()); id != other.id || err != nil {
						t.Errorf("%v, %v", id, err)
					}
				}
				time.Sleep(10*time.Second + 500*time.Millisecond)
				tries := len(n.Dials()) - before
				if c.success {
					equal(t, "statuses", codes(statusesOf(t, statuses)), []string{"peer_added"})
					if tries != 1 || p.Err() != nil {
						t.Errorf("dialed %d times, %v", tries, p.Err())
					}
					other.Close()
					time.Sleep(3 * time.Second)
					if again := len(n.Dials()) - before - tries; again < 2 {
						t.Errorf("dialed %d times since the other connection is lost", again)
					}
					return
				}
				if tries < 10 || tries > 12 {
					t.Errorf("dialed %d times in 10 seconds", tries)
				}
				var dropped *handshake.DroppedError
				all := statusesOf(t, statuses)
				if last := all[len(all)-1]; last.Code != endpoint.PeerUnavailable || !errors.As(last.Err, &dropped) || dropped.Code != c.code || len(all) != 1+tries {
					t.Errorf("%d statuses, the last %v", len(all), last)
				}
				if len(node.Peers()) != 1 {
					t.Errorf("peers %+v", node.Peers())
				}
			})
		})
	}
}

// A node that comes back after its old connection has died silently gets in after 2 seconds, whichever
// id is the smaller one. What comes of the old connection is told before what comes of the new one.
func TestReplaceDeadConnection(t *testing.T) {
	for _, id := range []wire.EndpointID{lowID, highID} {
		onMemNet(t, func(t *testing.T, n *memNet) {
			node := n.node(t, endpoint.WithID(middleID), endpoint.WithLogger(slog.New(logHook(func(r slog.Record) {
				if r.Message == "peer_lost" {
					time.Sleep(time.Second) // the new connection must wait until this has been told
				}
			}))))
			sub := subscribe(t, node, []string{"/x"}, endpoint.WithStatus())
			addr := listen(t, node)
			old := n.dialRaw(t, addr, id, "/x")
			old.write(t, old.data("/x/old", data.AppendCount(nil, 1)))
			synctest.Wait()
			old.Conn.(*memnet.Conn).Part()
			publish(t, node, "/x", 1, 1) // nobody can know yet
			start := time.Now()
			again := n.dialRaw(t, addr, id, "/x")
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("took %v", took)
			}
			again.write(t, again.data("/x/new", data.AppendCount(nil, 1)))
			var got []string
			for _, ev := range arrived(t, sub) {
				switch {
				case ev.Status == nil:
					got = append(got, ev.Message.Topic())
				case errors.Is(ev.Status.Err, endpoint.ErrReplaced):
					got = append(got, ev.Status.Code.String()+" replaced")
				default:
					got = append(got, ev.Status.String())
				}
			}
			conns := n.Dials()
			equal(t, "events", got, []string{
				fmt.Sprint("peer_added ", conns[0].Conn.LocalAddr(), " ", id), "/x/old", "peer_lost replaced",
				fmt.Sprint("peer_added ", conns[1].Conn.LocalAddr(), " ", id), "/x/new",
			})
			publish(t, node, "/x/alive", 1, 1)
			equal(t, "at the new connection", again.messages(t), []string{"/x/alive"})
		})
	}
}

// A peer that this node does not read from, since a subscription blocks, cannot be told from a dead
// one: it is not replaced.
func TestPausedIsNotReplaced(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t, endpoint.WithID(middleID))
		subscribe(t, node, []string{"/x"}, endpoint.WithQueue(endpoint.QueueLimits{Messages: 1, Policy: endpoint.Block}))
		addr := listen(t, node)
		first := n.dialRaw(t, addr, highID)
		for range 3 {
			first.write(t, first.data("/x", data.AppendCount(nil, 1)))
		}
		synctest.Wait()
		conn, err := n.Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var dropped *handshake.DroppedError
		if _, err := shake(conn, handshake.Dialer, highID); !errors.As(err, &dropped) || dropped.Code != wire.CodeRedundantConnection {
			t.Errorf("error %v", err)
		}
	})
}
