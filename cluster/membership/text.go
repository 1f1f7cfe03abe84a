package membership

import (
	"fmt"
	"strconv"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

// The rows of cluster.log that tell of listening and dialing (CLUSTER.md section 9).

// ListeningText tells that a node listens. The address is that of Broker::default_listen_address, which is
// empty for all.
func ListeningText(l *layout.Layout, n layout.Node) string {
	return fmt.Sprintf("listening on %s:%d/tcp", l.Options.DefaultListenAddress, n.Port.Number)
}

// PeeringText tells that a node dials another.
func PeeringText(l *layout.Layout, to layout.Node) string {
	return fmt.Sprintf("initiate peering with %v:%d/tcp, retry=%s, status=T", to.IP, to.Port.Number, Interval(l.Options.ConnectRetry()))
}

// Interval returns a time as Zeek prints an interval, such as "1.0 sec" or "1.0 min".
func Interval(d time.Duration) string {
	unit, name := time.Microsecond, "usec"
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hr"}, {time.Minute, "min"}, {time.Second, "sec"}, {time.Millisecond, "msec"}} {
		if d.Abs() >= u.d {
			unit, name = u.d, u.name
			break
		}
	}
	if d == 0 {
		return "0 secs"
	}
	n := float64(d) / float64(unit)
	text := strconv.FormatFloat(n, 'f', -1, 64)
	if n == float64(int64(n)) {
		text += ".0"
	}
	if n == 1 {
		return text + " " + name
	}
	return text + " " + name + "s"
}
