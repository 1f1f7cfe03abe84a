package websocket

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// A Handler serves WebSocket clients on behalf of an endpoint. It is an [http.Handler] for the path at
// which it is mounted, which should be [Path]; the server must speak HTTP/1.1.
type Handler struct {
	ep       *endpoint.Endpoint
	opts     serverOptions
	large    budget
	refused  atomic.Uint64
	accepted atomic.Uint64
	wg       sync.WaitGroup

	mu       sync.Mutex
	sessions map[*session]struct{}
	ended    ServerStats // of clients that are gone
	closing  bool
}

// NewHandler returns a handler for clients of ep. [WithTLS] and [AllowRemote] mean nothing to it.
func NewHandler(ep *endpoint.Endpoint, opts ...ServerOption) (*Handler, error) {
	h := &Handler{ep: ep, sessions: make(map[*session]struct{})}
	if err := h.opts.apply(opts); err != nil {
		return nil, err
	}
	h.large.limit = h.opts.maxLarge
	return h, nil
}

// ServeHTTP serves one client until it has left.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, reason := h.refuse(r); status != 0 {
		h.refused.Add(1)
		h.opts.log.Warn("websocket client refused", "addr", r.RemoteAddr, "status", status, "reason", reason)
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, reason, status)
		return
	}
	s := newSession(h, r)
	if h.opts.access != nil {
		s.access = h.opts.access(r)
	}
	if s.access.Refuse {
		h.refused.Add(1)
		h.opts.log.Warn("websocket client refused by the access rules", "addr", r.RemoteAddr, "app", s.app)
		http.Error(w, "not welcome by the access rules", http.StatusForbidden)
		return
	}
	if reason := h.add(s); reason != "" {
		h.refused.Add(1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, reason, http.StatusServiceUnavailable)
		return
	}
	defer h.remove(s)
	s.serve(w, r)
}

// refuse checks who asks. It returns a status and a reason, or zero.
func (h *Handler) refuse(r *http.Request) (status int, reason string) {
	if origin := r.Header.Get("Origin"); origin != "" && !h.allowsOrigin(origin, r.Host) {
		return http.StatusForbidden, fmt.Sprintf("origin %q is not allowed here", origin)
	}
	if h.opts.token == "" {
		return 0, ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(token)), []byte(h.opts.token)) != 1 {
		return http.StatusUnauthorized, "a bearer token is wanted, and this is not it"
	}
	return 0, ""
}

// allowsOrigin tells whether a page of that origin may connect. Some client libraries that are no
// browsers send the server's own address as origin. That is let in if it is an IP address or localhost,
// which no page of somebody else's can have: a name could be made to point here (DNS rebinding).
func (h *Handler) allowsOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false // "null", too
	}
	if strings.EqualFold(u.Host, host) {
		name := u.Hostname()
		if net.ParseIP(name) != nil || strings.EqualFold(name, "localhost") || h.opts.token != "" {
			return true
		}
	}
	origin = strings.ToLower(u.Scheme + "://" + u.Host)
	return slices.ContainsFunc(h.opts.origins, func(pattern string) bool {
		ok, _ := path.Match(pattern, origin)
		return ok
	})
}

// add lets a client in, or says why not.
func (h *Handler) add(s *session) (reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closing:
		return "shutting down"
	case len(h.sessions) >= h.opts.maxClients:
		h.opts.log.Warn("websocket client refused: too many", "addr", s.addr, "limit", h.opts.maxClients)
		return fmt.Sprintf("%d clients are connected and no more are allowed", h.opts.maxClients)
	}
	h.sessions[s] = struct{}{}
	h.wg.Add(1)
	return ""
}

func (h *Handler) remove(s *session) {
	h.mu.Lock()
	delete(h.sessions, s)
	h.ended.add(s.info())
	h.mu.Unlock()
	h.wg.Done()
}

// ServerStats counts what a server has seen of all its clients, those that are gone included.
type ServerStats struct {
	Clients  int    // now
	Accepted uint64 // clients so far
	Refused  uint64 // requests that did not become clients

	Received, Invalid, Denied, Sent, Dropped, Unsent uint64 // as in [ClientInfo]
}

// add adds the counters of a client.
func (st *ServerStats) add(c ClientInfo) {
	st.Received += c.Received
	st.Invalid += c.Invalid
	st.Denied += c.Denied
	st.Sent += c.Sent
	st.Dropped += c.Dropped
	st.Unsent += c.Unsent
}

// Stats returns what the handler has seen so far. Its counters never go back.
func (h *Handler) Stats() ServerStats {
	// With the lock held no client moves from those that are there to those that were.
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.ended
	st.Clients, st.Accepted, st.Refused = len(h.sessions), h.accepted.Load(), h.refused.Load()
	for s := range h.sessions {
		st.add(s.info())
	}
	return st
}

func (h *Handler) all() []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*session, 0, len(h.sessions))
	for s := range h.sessions {
		all = append(all, s)
	}
	return all
}

// Clients returns what the handler knows of its clients, those first that came first.
func (h *Handler) Clients() []ClientInfo {
	all := h.all()
	infos := make([]ClientInfo, 0, len(all))
	for _, s := range all {
		infos = append(infos, s.info())
	}
	slices.SortFunc(infos, func(a, b ClientInfo) int { return a.Since.Compare(b.Since) })
	return infos
}

// Shutdown refuses new clients, takes leave of all others with code 1001 and waits until they are gone.
// When ctx ends their connections are cut. No goroutine of the handler is left when it returns.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	var leaving sync.WaitGroup
	for _, s := range h.all() {
		leaving.Go(func() { s.end(codeGoingAway, "shutting down") })
	}
	gone := make(chan struct{})
	go func() { leaving.Wait(); h.wg.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	for _, s := range h.all() {
		s.abort()
	}
	<-gone
	return ctx.Err()
}
