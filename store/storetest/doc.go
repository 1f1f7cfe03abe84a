// Package storetest holds what the tests of all backends share: a model of a backend, random batches,
// and a disk that is too small.
package storetest
