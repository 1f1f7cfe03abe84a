package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/endpoint/admin"
)

// clusterPage is where the admin socket and the status server answer with a nodeStatus.
const clusterPage = "/v1/cluster"

// A nodeStatus is the status of a node as JSON.
type nodeStatus struct {
	Program string `json:"zeekpeer"`
	Layout  string `json:"layout"`
	Zeek    string `json:"zeek_version"`
	cluster.Status
	Stores []nodeStore  `json:"stores"`
	Role   roles.Status `json:"role"`
}

type nodeStore struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Master  string `json:"master"`
	Ready   bool   `json:"ready"`
	Entries int    `json:"entries"`
	Bytes   int    `json:"bytes"`
	Seq     uint64 `json:"seq"`
	Lag     uint64 `json:"lag"`
	Waiting int    `json:"waiting"`
	Error   string `json:"error,omitempty"`
}

func statusOf(n *cluster.Node, role *roles.State) nodeStatus {
	version, _ := programVersion()
	s := nodeStatus{Program: version, Layout: n.Layout().Source, Zeek: n.Layout().Version.String(), Status: n.Status(), Stores: []nodeStore{}, Role: role.Status()}
	for _, st := range s.Status.Stores {
		line := nodeStore{
			Name: st.Name, Role: st.Role.String(), Master: st.Master.String(), Ready: st.Ready, Entries: st.Entries, Bytes: st.Bytes,
			Seq: st.Seq, Lag: st.Lag, Waiting: st.Waiting,
		}
		if st.Err != nil {
			line.Error = st.Err.Error()
		}
		s.Stores = append(s.Stores, line)
	}
	return s
}

// checkLoopback refuses addresses at which others than this machine could ask.
func checkLoopback(addr string) error {
	if err := checkAddr(addr); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("not on loopback: whoever reaches it could read, want 127.0.0.1:PORT or [::1]:PORT")
}

// clusterStatus is the page with the status of a node.
func clusterStatus(n *cluster.Node, role *roles.State) admin.Page {
	return admin.Page{Path: clusterPage, Get: func() any { return statusOf(n, role) }}
}

// serveStatus serves a page of the admin socket at http://ADDR, too, until it is told to stop.
func serveStatus(addr string, page admin.Page, stderr io.Writer) (at net.Addr, stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("--status-http %s: %w", addr, reason(err))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+page.Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(page.Get())
	})
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l) // until stop
	}()
	fmt.Fprintf(stderr, "status at http://%v%s\n", l.Addr(), page.Path)
	return l.Addr(), func() { server.Close(); <-done }, nil
}
