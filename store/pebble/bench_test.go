package pebble

import (
	"path/filepath"
	"testing"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/storetest"
)

func BenchmarkCommit(b *testing.B) { storetest.BenchmarkCommit(b, fresh(b)) }
func BenchmarkLoad(b *testing.B)   { storetest.BenchmarkLoad(b, fresh(b)) }

func fresh(b *testing.B) func() (store.Backend, error) {
	return func() (store.Backend, error) { return Open(filepath.Join(b.TempDir(), "s")) }
}
