# What every Zeek node of the tests loads: the Broker backend (the default of Zeek 8.1 and newer is none), the start-up
# events, no rotation of logs, and lines on standard output that tell who comes and goes, and how many are there then.
@load policy/frameworks/cluster/backend/broker
@load policy/frameworks/cluster/experimental

redef Log::default_rotation_interval = 0 secs;

module ZeekpeerTest;

export {
	global out = open("/dev/stdout");
	global say: function(text: string);
	# How many workers, proxies, loggers and managers this node sees.
	global counts: function(): string;
}

function say(text: string)
	{
	print out, text;
	}

function counts(): string
	{
	return fmt("workers=%d proxies=%d loggers=%d managers=%d",
	           Cluster::get_active_node_count(Cluster::WORKER), Cluster::get_active_node_count(Cluster::PROXY),
	           Cluster::get_active_node_count(Cluster::LOGGER), Cluster::get_active_node_count(Cluster::MANAGER));
	}

event zeek_init() &priority=20
	{
	set_buf(out, F);
	}

event Cluster::node_up(name: string, id: string) &priority=-20
	{
	say(fmt("up %s %s %s", name, id, counts()));
	}

event Cluster::node_down(name: string, id: string) &priority=-20
	{
	say(fmt("down %s %s %s", name, id, counts()));
	}

event Cluster::Experimental::cluster_started()
	{
	say("started");
	}
