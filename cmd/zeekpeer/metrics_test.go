package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestMetrics: a node with --metrics serves them for as long as it lives.
func TestMetrics(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"sub", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "/t"}, strings.NewReader(""), io.Discard, w)
		w.Close()
	}()
	lines := bufio.NewScanner(stderr)
	url := ""
	for url == "" && lines.Scan() {
		if m := regexp.MustCompile(`^metrics at (http://.*/metrics)$`).FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
	}
	go io.Copy(io.Discard, stderr)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"broker_connections 0", `zeekpeer_dropped_messages_total{reason="queue full"} 0`} {
		if !strings.Contains(string(body), "\n"+line+"\n") {
			t.Errorf("no line %s in %s", line, body)
		}
	}
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
	if _, err := client.Get(url); err == nil {
		t.Error("metrics are served after the end")
	}
	// An address that cannot be is an error.
	if got := run(t.Context(), []string{"sub", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:x", "/t"}, strings.NewReader(""), io.Discard, io.Discard); got != exitError {
		t.Errorf("exit code %d", got)
	}
}
