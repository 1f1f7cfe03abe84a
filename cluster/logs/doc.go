// Package logs takes the place of Zeek's logger, and lets any node write logs (CLUSTER.md section 6).
//
// A log begins with a LogCreate, which [NewSchema] checks: from it come the columns, and the name of the
// file as far as it stays in the directory of the logs. Its rows come packed. A [Format] makes lines of
// text of them, the same to the byte as the files of Zeek 8.2.2, straight from the packed bytes and
// without allocating: TSV or JSON, as [Options] and the schema say. What does not suit the schema, or is
// no record at all, is an error and leaves no trace in the file.
//
// A [Receiver] takes what the nodes of a cluster send and hands it to [Sink]s, of which [NewFiles] is the
// one that Zeek has. A [Stream] is the other side: it sends the values of a struct as rows.
package logs
