# Every node makes or joins two stores of the cluster, puts something into each once the cluster has started, and
# tells each second what it reads, until it ends. With what one puts only if it is new, all but one fail.
@load ./node.zeek

module ZeekpeerTest;

@pragma push ignore-deprecations

global first: Cluster::StoreInfo;
global second: Cluster::StoreInfo;
global look: event();

event zeek_init() &priority=-3
	{
	first = Cluster::create_store("test/first");
	second = Cluster::create_store("test/second");
	}

function keys(name: string, info: Cluster::StoreInfo)
	{
	when [name, info] ( local r = Broker::keys(info$store) )
		{
		local names: vector of string;
		if ( r$status == Broker::SUCCESS )
			for ( k in r$result as set[string] )
				names += k;
		sort(names, strcmp);
		say(fmt("keys %s %s", name, join_string_vec(names, " ")));
		}
	timeout 10sec
		{
		say("no keys of " + name);
		}
	}

event look()
	{
	keys("test/first", first);
	keys("test/second", second);
	when ( local r = Broker::get(first$store, "sum") )
		{
		say(fmt("sum %s", r$status == Broker::SUCCESS ? cat(r$result as count) : "none"));
		}
	timeout 10sec
		{
		say("no sum");
		}
	schedule 1sec { look() };
	}

event Cluster::Experimental::cluster_started()
	{
	Broker::put(first$store, Cluster::node, 1);
	Broker::put(second$store, Cluster::node, set(1, 2, 3));
	Broker::increment(first$store, "sum", 1);
	when ( local r = Broker::put_unique(second$store, "unique", Cluster::node) )
		{
		say(fmt("unique %s", r$status == Broker::SUCCESS ? cat(r$result as bool) : "failed"));
		}
	timeout 10sec
		{
		say("unique timeout");
		}
	event look();
	}

@pragma pop ignore-deprecations
