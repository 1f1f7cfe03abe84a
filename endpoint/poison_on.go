//go:build race

package endpoint

// poison overwrites segments when their last reference is gone, so that a test under the race
// detector sees at once what was kept too long.
const poison = true
