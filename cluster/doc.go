// Package cluster makes a process a node of a Zeek cluster (CLUSTER.md). A [Node] knows from a layout whom
// it dials and who it is; it greets its peers as Zeek does, knows who is there, takes part in pools, hands
// events to handlers, publishes, keeps stores, and sends logs to the loggers.
//
//	l, err := layout.Load("cluster-layout.zeek", os.LookupEnv)
//	...
//	node, err := cluster.New(l, "worker-7")
//	...
//	cluster.On(node, "My::alert", func(ctx context.Context, args struct{ Text string }) error { ... })
//	if err := node.Start(ctx); err != nil { ... }
//	defer node.Close(ctx)
//	node.PublishHRW(ctx, pool.ProxyTopic, data.String(key), "My::found", data.String(key))
package cluster
