package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
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

// serveStatus answers with the status of a node at http://ADDR/v1/cluster until it is told to stop.
func serveStatus(n *cluster.Node, role *roles.State, addr string) (at net.Addr, stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("--status-http %s: %w", addr, reason(err))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+clusterPage, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(statusOf(n, role))
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
	return l.Addr(), func() { server.Close(); <-done }, nil
}
