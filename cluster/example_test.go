package cluster_test

import (
	"context"
	"fmt"
	"os"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A node takes the place of worker-7, prints what others alert it of, and sends hosts to the proxies that have to do
// with them.
func Example() {
	if err := work(context.Background(), "cluster-layout.zeek"); err != nil {
		fmt.Println(err)
	}
	// Output: layout: open cluster-layout.zeek: no such file or directory
}

func work(ctx context.Context, file string) error {
	l, err := layout.Load(file, os.LookupEnv)
	if err != nil {
		return err
	}
	node, err := cluster.New(l, "worker-7")
	if err != nil {
		return err
	}
	defer node.Close(ctx)
	cluster.On(node, "My::alert", func(_ context.Context, args struct{ Text string }) error {
		fmt.Println(args.Text)
		return nil
	})
	if err := node.Start(ctx); err != nil {
		return err
	}
	if err := node.WaitNodes(ctx, "proxy-1"); err != nil {
		return err
	}
	for _, host := range []string{"10.0.0.1", "10.0.0.2"} {
		if err := node.PublishHRW(ctx, pool.ProxyTopic, data.String(host), "My::host", data.String(host)); err != nil {
			return err
		}
	}
	return nil
}
