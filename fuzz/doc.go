// Package fuzz holds the fuzz targets of this module, one file for each family of inputs, and the
// corpus of what they have found (testdata/fuzz).
//
//	go test -run '^$' -fuzz '^FuzzValue$' -fuzztime 1m ./fuzz
//
// Their seeds come from the encoders and from recordings of real nodes. What holds for every input:
// nothing panics; memory stays within a multiple of the input, whatever counts it announces; what is
// accepted is written in a form that reads back the same; and where two paths read the same bytes, the
// tree and the reader, the validator and the decoder, the strict and the lenient one, they agree.
package fuzz
