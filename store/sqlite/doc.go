// Package sqlite keeps the contents of a store in a file that Zeek's own SQLite backend reads and
// writes (STORE.md section 6.2): a Zeek node's store can be taken over, and handed back.
//
// The file has Zeek's two tables, and one besides that a Zeek node opens, checks and keeps without
// looking into it:
//
//	meta(key text primary key, value text)                    broker_version
//	store(key blob primary key, value blob, expiry integer)   the records
//	zeekpeer_state(key primary key, value) without rowid      what a master has to find again
//
// The keys of zeekpeer_state are texts for the format of this table, the master, the mark and the
// traces of others (see below), and blobs of 24 bytes for the writers.
//
// # Who writes
//
// SQLite would let several programs write to the file at the same time, and a master would not see
// what others change. So a file is locked exclusively as long as it is open: a Zeek node that is given
// it then fails to attach its master ("database is locked"), and so does a second store of ours.
//
// Between two openings others may write. A Zeek node replaces the version in meta whenever it opens a
// file, which gives that row another row id; every program that commits changes the counter in the
// header of the file. The one is written down in zeekpeer_state when the file is opened, the other when
// it is closed; if one has changed at the next opening, what zeekpeer_state says of the master is
// forgotten. The contents are then those that the others left, under a new master, which makes all
// clones read them anew. A program that is no Zeek node goes unnoticed in journal mode WAL, where the
// counter says nothing, and if it comes after a crash, when nobody has written it down.
package sqlite
