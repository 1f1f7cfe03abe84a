package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/zeekpeer/zeekpeer/store/storetest"
)

func BenchmarkCommit(b *testing.B) { storetest.BenchmarkCommit(b, benchmarked(b)) }
func BenchmarkLoad(b *testing.B)   { storetest.BenchmarkLoad(b, benchmarked(b)) }

func benchmarked(b *testing.B) *Backend {
	backend, err := Open(filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := backend.Close(); err != nil {
			b.Error(err)
		}
	})
	return backend
}
