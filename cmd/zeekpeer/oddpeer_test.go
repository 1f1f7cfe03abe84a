package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// oddPeer is a peer as zeekpeer never is one.
//
//	late ADDR TOPIC        peers, then subscribes, and ends with the first message
//	raw ADDR TOPIC HEX...  sends payloads as they are, and leaves without a word
//	mute                   listens and accepts connections, and says nothing, until its standard input ends
//	big N                  prints a JSON message with a string of N bytes
func oddPeer(args []string) {
	err := fmt.Errorf("unknown peer %q", args)
	switch args[0] {
	case "late":
		err = latePeer(args[1], args[2])
	case "raw":
		err = rawPeer(args[1], args[2], args[3:])
	case "mute":
		err = mutePeer()
	case "big":
		var n int
		if _, err = fmt.Sscan(args[1], &n); err == nil {
			b := make([]byte, n)
			for i := range b {
				b[i] = 'a' + byte(i%26)
			}
			_, err = os.Stdout.Write(append(data.AppendJSONMessage(nil, "/big", data.String(string(b))), '\n'))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func latePeer(addr, topic string) error {
	e, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()))
	if err != nil {
		return err
	}
	ctx := context.Background()
	defer e.Close(ctx)
	p, err := e.Peer(addr)
	if err != nil {
		return err
	}
	if _, err := p.Wait(ctx); err != nil {
		return err
	}
	s, err := e.Subscribe([]string{topic})
	if err != nil {
		return err
	}
	for m := range s.Messages(ctx) {
		fmt.Println(m.Topic())
		break
	}
	return nil
}

func rawPeer(addr, topic string, payloads []string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	self := wire.NewEndpointID()
	if err := shake(conn, self); err != nil {
		return err
	}
	for _, text := range payloads {
		payload, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		frame := wire.AppendEnvelope(nil, wire.Envelope{Sender: self, Type: wire.TypeData, TTL: 1, Topic: []byte(topic), Payload: payload})
		if _, err := conn.Write(frame); err != nil {
			return err
		}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// shake performs the handshake as the one who dialed, subscribed to nothing.
func shake(conn net.Conn, self wire.EndpointID) error {
	m := handshake.New(handshake.Dialer, self, func() []string { return nil })
	out := m.Start()
	for {
		if _, err := conn.Write(out.Send); err != nil {
			return err
		}
		switch {
		case out.Err != nil || out.Peered:
			return out.Err
		case out.Identified:
			out = m.Decide(handshake.Proceed)
		default:
			var header [wire.FrameHeaderLen]byte
			if _, err := io.ReadFull(conn, header[:]); err != nil {
				return err
			}
			body := make([]byte, binary.BigEndian.Uint32(header[:]))
			if _, err := io.ReadFull(conn, body); err != nil {
				return err
			}
			out = m.Frame(body)
		}
	}
}

func mutePeer() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
