//go:build !unix

package anontls

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
