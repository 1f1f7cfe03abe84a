# Automatically generated. Do not edit.
# zeek_version: 5.0.10
redef Cluster::manager_is_logger = F;
redef Cluster::nodes = {
	["control"] = [$node_type=Cluster::CONTROL, $ip=10.0.0.1, $p=47760/tcp],
	["logger-1"] = [$node_type=Cluster::LOGGER, $ip=10.0.0.1, $p=47761/tcp],
	["manager"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=47762/tcp],
	["proxy-1"] = [$node_type=Cluster::PROXY, $ip=10.0.0.2, $p=47763/tcp, $manager="manager"],
	["worker-1"] = [$node_type=Cluster::WORKER, $ip=10.0.0.7, $p=47764/tcp, $interface="eth0", $manager="manager"],
	["worker-2"] = [$node_type=Cluster::WORKER, $ip=[2001:db8::8], $p=47765/tcp, $interface="eth0", $manager="manager"],
	["time-machine"] = [$node_type=Cluster::TIME_MACHINE, $ip=10.0.0.9, $p=47757/tcp],
};
