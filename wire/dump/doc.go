// Package dump shows captured frames to people, as lines of text, and to programs, as JSON or as a
// recording.
package dump
