package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxFile bounds a layout: a hundred thousand nodes.
const maxFile = 16 << 20

// An Option says what a layout does not say itself.
type Option func(*settings)

type settings struct {
	version Version // zero: as the file says
	env     func(string) (string, bool)
	resolve func(string) ([]netip.Addr, error)
	nodeCfg *NodeCfgOptions
}

func newSettings(opts []Option) settings {
	s := settings{env: func(string) (string, bool) { return "", false }}
	for _, o := range opts {
		o(&s)
	}
	return s
}

// ForVersion says that the cluster runs that version of Zeek, whatever the layout says.
func ForVersion(v Version) Option { return func(s *settings) { s.version = v } }

// WithNodeCfg says what else zeekctl knows, for [Load] of a node.cfg. Without it, Load reads the zeekctl.cfg beside it.
func WithNodeCfg(o NodeCfgOptions) Option { return func(s *settings) { s.nodeCfg = &o } }

// WithResolver says who looks up names of hosts, which a node.cfg has, and layouts that Zeek's own generator writes for
// several hosts. [Load] asks the system's resolver by default, [ParseZeek] nobody, so that such names are errors.
func WithResolver(resolve func(host string) ([]netip.Addr, error)) Option {
	return func(s *settings) { s.resolve = resolve }
}

// fileVersion returns the version: as told, or as a comment in a file of Zeek says, or the newest with a warning.
func (s *settings) fileVersion(r *report, src []byte) Version {
	if s.version != (Version{}) {
		return s.known(r, place{}, s.version)
	}
	if m := versionComment.FindSubmatchIndex(src); m != nil {
		at := place{1 + strings.Count(string(src[:m[2]]), "\n"), 1 + m[2] - (1 + strings.LastIndexByte(string(src[:m[2]]), '\n'))}
		v, err := ParseVersion(string(src[m[2]:m[3]]))
		if err != nil {
			r.fail(at, "zeek_version: %w", err)
			return Newest
		}
		return s.known(r, at, v)
	}
	return assumeNewest(r, `a comment "# zeek_version: 8.2"`)
}

// known warns of a version that is newer than what is known.
func (s *settings) known(r *report, at place, v Version) Version {
	if (Version{Major: v.Major, Minor: v.Minor}).Compare(Newest) > 0 {
		r.warn(at, "Zeek %v is newer than %v, the newest that is known: taken for alike", v, Newest)
	}
	return v
}

func assumeNewest(r *report, how string) Version {
	r.warn(place{}, "the layout does not say which version of Zeek the cluster runs: taken for %v, the newest that is known; say it with %s", Newest, how)
	return Newest
}

// Load reads a layout from a file: a cluster-layout.zeek (by its suffix .zeek), a node.cfg of zeekctl (.cfg), a native
// one (.yaml or .yml), or any of them under another name, as it looks. It applies what env, such as [os.LookupEnv], says,
// by Zeek's rules of precedence (section 1.3): CLUSTER_NODE and ZEEK_DEFAULT_LISTEN_ADDRESS unless the file sets what
// they stand for, ZEEK_DEFAULT_CONNECT_RETRY and ZEEK_DEFAULT_LISTEN_RETRY whatever the file says. A nil env is an empty
// one. The error is an [*Error], or several joined, if the file can be read and is wrong.
func Load(path string, env func(string) (string, bool), opts ...Option) (*Layout, error) {
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s := newSettings(opts)
	if env != nil {
		s.env = env
	}
	if s.resolve == nil {
		s.resolve = resolve
	}
	var l *Layout
	var set map[string]bool
	switch kindOf(path, src) {
	case "zeek":
		l, set, err = parseZeek(path, src, s)
	case "cfg":
		var o NodeCfgOptions
		if s.nodeCfg != nil {
			o = *s.nodeCfg
		} else {
			cfg := filepath.Join(filepath.Dir(path), "zeekctl.cfg")
			text, readErr := readFile(cfg)
			switch {
			case readErr == nil:
				if o, err = ParseZeekctlCfg(cfg, text); err != nil {
					return nil, err
				}
			case !errors.Is(readErr, os.ErrNotExist):
				return nil, readErr
			}
		}
		if s.version != (Version{}) {
			o.Version = s.version
		}
		if o.Resolve == nil {
			o.Resolve = s.resolve
		}
		l, err = ParseNodeCfg(path, src, o)
	default:
		l, set, err = parseNative(path, src, s)
	}
	if err != nil {
		return nil, err
	}
	l.applyEnv(s.env, set)
	return l, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	defer file.Close()
	src, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	if len(src) > maxFile {
		return nil, &Error{File: path, Err: fmt.Errorf("more than %d bytes", maxFile)}
	}
	return src, nil
}

// kindOf returns which kind of layout a file is.
func kindOf(path string, src []byte) string {
	switch filepath.Ext(path) {
	case ".zeek", ".bro":
		return "zeek"
	case ".cfg":
		return "cfg"
	case ".yaml", ".yml":
		return "native"
	}
	for line := range strings.Lines(strings.TrimPrefix(string(src), "\ufeff")) {
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			return "cfg"
		case line[0] == '@' || word == "redef" || word == "module" || word == "const" || word == "global" || word == "event" || word == "export":
			return "zeek"
		default:
			return "native"
		}
	}
	return "native"
}

// applyEnv applies the environment. set are the options that the file sets.
func (l *Layout) applyEnv(env func(string) (string, bool), set map[string]bool) {
	r := &report{file: l.Source}
	o := &l.Options
	if name, ok := env("CLUSTER_NODE"); ok && !set["Cluster::node"] {
		o.Node = name
	}
	if addr, ok := env("ZEEK_DEFAULT_LISTEN_ADDRESS"); ok && !set["Broker::default_listen_address"] {
		o.DefaultListenAddress = addr
	}
	if text, ok := env("ZEEK_DEFAULT_CONNECT_RETRY"); ok {
		o.RetryInterval = time.Duration(atoi(text)) * time.Second
		if o.RetryInterval < 0 {
			r.warn(place{}, "ZEEK_DEFAULT_CONNECT_RETRY is %s: a negative interval is taken for 0, one attempt only", quoted(text))
			o.RetryInterval = 0
		}
	}
	if text, ok := env("ZEEK_DEFAULT_LISTEN_RETRY"); ok && text != "" {
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		d, fits := interval(n, time.Second)
		if err != nil || !fits || d < 0 {
			r.warn(place{}, "ZEEK_DEFAULT_LISTEN_RETRY is %s, want seconds: taken for 0, one attempt only", quoted(text))
			d = 0
		}
		o.DefaultListenRetry = d
	}
	if o.Node != "" && l.Node(o.Node) == nil {
		r.warn(place{}, "%s, which this process is to be, is not a node of the layout: Zeek would end", quoted(o.Node))
	}
	l.Warnings = append(l.Warnings, r.warnings...)
}

// atoi is C's: blanks, a sign, digits; what follows is left out, and what is no number is 0. Beyond 32 bits it does what
// a cast of a saturated long does.
func atoi(text string) int32 {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	end := 0
	if end < len(text) && (text[end] == '-' || text[end] == '+') {
		end++
	}
	for end < len(text) && isDigit(text[end]) {
		end++
	}
	n, _ := strconv.ParseInt(text[:end], 10, 64) // saturates
	return int32(n)
}

// resolveTimeout bounds the look-up of one host.
const resolveTimeout = 10 * time.Second

// resolve looks a host up with the system's resolver.
func resolve(host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
