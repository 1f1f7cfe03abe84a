package anontls

// A lock is a mutex that is held across reads and writes of the connection below. Unlike with a
// sync.Mutex, one can wait for it and for something else, and testing/synctest sees the waiting.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

// TryLock takes the lock if it is free.
func (l lock) TryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}
