package certs

import (
	"errors"
	"sync"
	"testing"
)

// TestReload changes the CA of a node that is in use.
func TestReload(t *testing.T) {
	ca1, ca2 := newCA(t, "old CA"), newCA(t, "new CA")
	f := files(t, ca1, ca1.issue(t, Request{Name: "b"}))
	server := load(t, f)
	before := server.Server()
	oldPeer, newPeer := node(t, ca1, "old"), node(t, ca2, "new")

	ca2.rewrite(t, f.CAFile, f.CAFile+"-key")
	err := server.Reload()
	mustSay(t, err, "does not verify")
	if c, s := connect(t, oldPeer.Client(), server.Server()); c.err != nil || s.err != nil {
		t.Fatalf("after a reload that failed: client: %v, server: %v", c.err, s.err)
	}

	ca2.issue(t, Request{Name: "b"}).rewrite(t, f.CertFile, f.KeyFile)
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if c, s := connect(t, newPeer.Client(), server.Server()); c.err != nil || s.err != nil {
		t.Errorf("after the reload, peer of the new CA: client: %v, server: %v", c.err, s.err)
	}
	if _, s := connect(t, unchecked(ca2, ca1.issue(t, Request{Name: "old"})).Client(), server.Server()); !isA[*PeerError](s.err) {
		t.Errorf("after the reload, peer of the old CA: %v", s.err)
	}
	if c, _ := connect(t, oldPeer.Client(), before); c.err != nil {
		t.Errorf("a configuration from before the reload: %v", c.err)
	}
}

// TestReloadUnderUse has connections made while the files change between two states, in each of
// which the peers know each other, and one that is broken.
func TestReloadUnderUse(t *testing.T) {
	ca := newCA(t, "test CA")
	f := files(t, ca, ca.issue(t, Request{Name: "b-1"}))
	server, client := load(t, f), node(t, ca, "a", "b-*")
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 2 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, s := connect(t, client.Client(), server.Server()); c.err != nil || s.err != nil {
					t.Errorf("client: %v, server: %v", c.err, s.err)
					return
				}
				server.Warnings()
			}
		})
	}
	for i := range 20 {
		switch i % 2 {
		case 0:
			ca.issue(t, Request{Name: "b-2"}).rewrite(t, f.CertFile, f.KeyFile)
			if err := server.Reload(); err != nil {
				t.Error(err)
			}
			if c, s := connect(t, client.Client(), server.Server()); c.err != nil || s.err != nil {
				t.Errorf("client: %v, server: %v", c.err, s.err)
			}
		case 1:
			ca.issue(t, Request{Name: "b-3"}).rewrite(t, f.CertFile, f.KeyFile+"2")
			if err := server.Reload(); !isA[*FileError](err) {
				t.Errorf("half of a new pair: %v", err)
			}
			if got := server.Certificate().Subject.CommonName; got != "b-2" {
				t.Errorf("half of a new pair: certificate of %s", got)
			}
		}
	}
	close(stop)
	users.Wait()
}

// TestReloadNames shows that what is handed in and out is not shared.
func TestReloadNames(t *testing.T) {
	ca := newCA(t, "test CA")
	f := files(t, ca, ca.issue(t, Request{Name: "b"}))
	f.AllowedNames = []string{"a"}
	server := load(t, f)
	f.AllowedNames[0] = "*"
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, s := connect(t, node(t, ca, "c").Client(), server.Server()); !errors.Is(s.err, ErrName) {
		t.Errorf("a name that is not allowed: %v", s.err)
	}
}
