package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// A watcher tells on standard error who comes and goes and who cannot be reached.
type watcher struct {
	stderr      io.Writer
	retry       time.Duration
	everyPeer   bool              // tell of who comes and leaves without trouble, too
	trouble     map[string]string // what was told last, by the address that is dialed
	undelivered uint64            // messages lost on peers that did not take leave; to be read when done
	done        chan struct{}
}

// watch starts a watcher, which ends with the endpoint.
func watch(e *endpoint.Endpoint, stderr io.Writer, retry time.Duration, everyPeer bool) (*watcher, error) {
	s, err := e.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		return nil, err
	}
	w := &watcher{stderr: stderr, retry: retry, everyPeer: everyPeer, trouble: make(map[string]string), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for event := range s.Events(context.Background()) {
			w.status(event.Status)
		}
	}()
	return w, nil
}

// wait waits for the end and returns how many messages were not delivered.
func (w *watcher) wait() uint64 {
	<-w.done
	return w.undelivered
}

func (w *watcher) status(s *endpoint.Status) {
	if s.Last != nil && !errors.Is(s.Err, endpoint.ErrBye) {
		w.undelivered += s.Last.Dropped[endpoint.DropPeeringEnded] + s.Last.Dropped[endpoint.DropQueueFull]
	}
	switch s.Code {
	case endpoint.PeerAdded:
		if w.everyPeer || w.trouble[s.Addr] != "" {
			fmt.Fprintf(w.stderr, "peered with %s (%v)\n", s.Addr, s.Peer)
		}
		delete(w.trouble, s.Addr)
	case endpoint.PeerUnavailable:
		w.tell(s, fmt.Sprintf("no peering with %s: %v", s.Addr, reason(s.Err)))
	case endpoint.PeerLost:
		switch {
		case !errors.Is(s.Err, endpoint.ErrBye):
			w.tell(s, fmt.Sprintf("lost %s (%v): %v", s.Addr, s.Peer, reason(s.Err)))
		case w.everyPeer:
			w.tell(s, fmt.Sprintf("%s (%v) took leave", s.Addr, s.Peer))
		}
	}
}

// tell tells of trouble with an address, once until it changes.
func (w *watcher) tell(s *endpoint.Status, text string) {
	if s.Dialed {
		if w.trouble[s.Addr] == text {
			return
		}
		w.trouble[s.Addr] = text
		if w.retry > 0 {
			text += fmt.Sprintf("; trying again every %v", w.retry)
		}
	}
	fmt.Fprintln(w.stderr, text)
}

// reason returns what is behind an error, without the addresses that stand before it.
func reason(err error) error {
	if e, ok := err.(*endpoint.PeerError); ok {
		err = e.Err
	}
	if e, ok := err.(*net.OpError); ok {
		err = e.Err
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the peer closed the connection")
	}
	return err
}
