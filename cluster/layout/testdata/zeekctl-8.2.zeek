# Automatically generated. Do not edit.
# zeek_version: 8.2.2
redef Cluster::manager_is_logger = F;
redef Cluster::nodes = {
	["control"] = [$node_type=Cluster::CONTROL, $ip=10.0.0.1, $p=27760/tcp],
	["manager"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=27761/tcp, $metrics_port=9991/tcp],
	["logger-1"] = [$node_type=Cluster::LOGGER, $ip=10.0.0.1, $p=27762/tcp, $metrics_port=9992/tcp],
	["logger-2"] = [$node_type=Cluster::LOGGER, $ip=10.0.0.2, $p=27763/tcp, $metrics_port=9993/tcp],
	["proxy-1"] = [$node_type=Cluster::PROXY, $ip=10.0.0.2, $p=27764/tcp, $manager="manager", $metrics_port=9994/tcp],
	["worker-1"] = [$node_type=Cluster::WORKER, $ip=10.0.0.7, $p=27765/tcp, $manager="manager", $metrics_port=9995/tcp],
	["worker-2"] = [$node_type=Cluster::WORKER, $ip=10.0.0.7, $p=27766/tcp, $manager="manager", $metrics_port=9996/tcp],
};

event zeek_init()
	{
	if ( getenv("ZEEKCTL_DISABLE_LISTEN") == "" && (Cluster::local_node_type() == Cluster::MANAGER || ! Cluster::is_enabled()) )
		{
		Cluster::listen_websocket([$listen_addr=127.0.0.1, $listen_port=27759/tcp]);
		}
	}
