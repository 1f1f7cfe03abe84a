// Package prom shows what a node does as metrics for Prometheus. They are read from the node when they
// are asked for; nothing runs in between.
//
// What means the same as in Broker has Broker's name:
//
//	broker_connections                       peers now
//	broker_processed_messages_total{type}    messages received or published: data, command, routing-update,
//	                                         ping, pong
//
// All else begins with zeekpeer_:
//
//	zeekpeer_info{id,version}                              1
//	zeekpeer_frames_total{direction}                       frames, "in" or "out", of all peers there were
//	zeekpeer_bytes_total{direction}                        their bytes
//	zeekpeer_dropped_messages_total{reason}                messages lost, by reason
//	zeekpeer_queued_messages, zeekpeer_queued_bytes        what waits for peers now
//	zeekpeer_receive_bytes                                 memory in which large messages are being received
//	zeekpeer_peerings_ended_total                          peerings that were lost or removed
//	zeekpeer_connections_refused_total                     connections accepted that did not become peerings
//	zeekpeer_dials_failed_total                            attempts to dial that did not
//	zeekpeer_peer_frames_total{peer,direction}             and so on, by peer; see [WithMaxPeers]
//	zeekpeer_peer_rtt_seconds{peer}                        of the last ping
//	zeekpeer_topic_messages_total{topic,direction}         by topic; only with [WithTopics]
//	zeekpeer_topic_bytes_total{topic,direction}
//
// How many series there are is bounded: by the limit of peers times about twenty, and of topics times
// four.
package prom
