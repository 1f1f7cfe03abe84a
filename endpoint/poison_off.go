//go:build !race

package endpoint

const poison = false
