# Automatically generated. Do not edit.
# zeek_version: 7.0.11
@pragma push ignore-deprecations
redef Cluster::manager_is_logger = T;
redef Cluster::nodes = {
	["control"] = [$node_type=Cluster::CONTROL, $ip=10.0.0.1, $p=27760/tcp],
	["manager"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=27761/tcp, $metrics_port=9991/tcp],
	["proxy-1"] = [$node_type=Cluster::PROXY, $ip=10.0.0.2, $p=27762/tcp, $manager="manager", $metrics_port=9992/tcp],
	["worker-1"] = [$node_type=Cluster::WORKER, $ip=10.0.0.7, $p=27763/tcp, $interface="eth0", $manager="manager", $metrics_port=9993/tcp],
};
@pragma pop ignore-deprecations
