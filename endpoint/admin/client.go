package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/dump"
)

// maxStatus bounds a status, in bytes: that of a node with thousands of peers and topics fits.
const maxStatus = 64 << 20

// A Client asks a node through its admin socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the socket at path. It connects when it is asked something.
func NewClient(path string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
		ResponseHeaderTimeout: 10 * time.Second,
		MaxIdleConns:          1,
	}
	return &Client{path: path, http: http.Client{Transport: transport}}
}

// Close closes what the client keeps open. A tap ends when its reader is closed.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks what the node has done so far.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	body, err := c.get(ctx, "/v1/status", nil)
	if err != nil {
		return s, err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxStatus)).Decode(&s); err != nil {
		return s, fmt.Errorf("%s: the answer cannot be read: %w", c.path, err)
	}
	return s, nil
}

// Tap asks for what the node and its peers say from now on: a recording, which ends with the node.
// dir is "in" or "out", as seen from the node, or "" for both.
func (c *Client) Tap(ctx context.Context, filter dump.Filter, dir string) (io.ReadCloser, error) {
	query := url.Values{"topic": filter.Topics, "peer": filter.Peers, "type": filter.Kinds}
	if dir != "" {
		query.Set("dir", dir)
	}
	return c.get(ctx, "/v1/tap", query)
}

func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "node", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address, which is made up
		}
		return nil, fmt.Errorf("no node answers at %s: %w", c.path, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return nil, fmt.Errorf("%s: %s: %s", c.path, resp.Status, strings.TrimSpace(string(text)))
	}
	return resp.Body, nil
}
