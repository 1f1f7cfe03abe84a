// Package zeek holds the messages that Zeek nodes put into Broker's data messages: events, logs,
// identifier updates and batches of them (CLUSTER.md section 5 and 6.2 to 6.4). Each is a value of
// the form [1, type, content].
package zeek
