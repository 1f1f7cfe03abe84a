package layout_test

import (
	"fmt"
	"log"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

const script = `# zeek_version: 8.2
redef Cluster::manager_is_logger = F;
redef Cluster::nodes = {
	["manager"]   = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=27760/tcp],
	["logger-1"]  = [$node_type=Cluster::LOGGER, $ip=10.0.0.1, $p=27761/tcp],
	["logger-10"] = [$node_type=Cluster::LOGGER, $ip=10.0.0.2, $p=27761/tcp],
	["logger-2"]  = [$node_type=Cluster::LOGGER, $ip=[2001:db8::3], $p=27761/tcp],
	["proxy-1"]   = [$node_type=Cluster::PROXY, $ip=10.0.0.1, $p=27762/tcp, $manager="manager"],
	["worker-1"]  = [$node_type=Cluster::WORKER, $ip=10.0.0.7, $manager="manager"],
};
`

func ExampleLayout_Dials() {
	l, err := layout.ParseZeek("cluster-layout.zeek", []byte(script))
	if err != nil {
		log.Fatal(err)
	}
	for _, to := range l.Dials("worker-1") {
		fmt.Println(to.Name, to.DialAddr())
	}
	// Output:
	// logger-1 10.0.0.1:27761
	// logger-10 10.0.0.2:27761
	// logger-2 [2001:db8::3]:27761
	// proxy-1 10.0.0.1:27762
	// manager 10.0.0.1:27760
}

func ExampleLayout_Native() {
	l, err := layout.ParseZeek("cluster-layout.zeek", []byte(script))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", l.Native())
	// Output:
	// zeek_version: 8.2
	//
	// nodes:
	//   logger-1: {type: logger, address: 10.0.0.1, port: 27761}
	//   logger-10: {type: logger, address: 10.0.0.2, port: 27761}
	//   logger-2: {type: logger, address: "2001:db8::3", port: 27761}
	//   manager: {type: manager, address: 10.0.0.1, port: 27760}
	//   proxy-1: {type: proxy, address: 10.0.0.1, port: 27762}
	//   worker-1: {type: worker, address: 10.0.0.7}
}

func ExampleParseNative() {
	_, err := layout.ParseNative("cluster.yaml", []byte(`
zeek_version: 8.2
nodes:
  manager: {type: manager, address: 10.0.0.1, port: 27760}
  worker-1: {type: worker, adress: 10.0.0.7}
`))
	fmt.Println(err)
	// Output:
	// cluster.yaml:5:28: node "worker-1": unknown field "adress", want type, address, port, manager, interface, zone_id, metrics_port, time_machine, lb_filter
	// cluster.yaml:5:3: node "worker-1" has no address
}
