# The worker publishes to the pool of proxies with keys of all types that have a hash of their own, and the proxies
# tell which came to them.
@load ./node.zeek

module ZeekpeerTest;

export {
	global task: event(key: string);
	global turn: event(key: string);
	global done: event();
}

global asked = F;

function hrw(kind: string, key: any)
	{
	Cluster::publish_hrw(Cluster::proxy_pool, key, task, fmt("%s %s", kind, key));
	}

function publish_all()
	{
	local i = 0;
	while ( i < 100 )
		{
		hrw("string", fmt("key-%d", i));
		hrw("count", i);
		hrw("int", to_int(fmt("-%d", i)));
		hrw("addr", count_to_v4_addr(167772160 + i));
		hrw("addr", to_addr(fmt("2001:db8::%x", i)));
		hrw("port", count_to_port(i, tcp));
		hrw("port", count_to_port(i, udp));
		hrw("subnet", to_subnet(fmt("10.%d.0.0/16", i)));
		hrw("subnet", to_subnet(fmt("2001:db8:%x::/48", i)));
		hrw("double", i / 8.0);
		# Of others the double is not always the nearest to what Broker makes of it.
		hrw("time", double_to_time(1700000000.0 + i / 2.0));
		++i;
		}
	hrw("string", "");
	hrw("bool", T);
	hrw("bool", F);
	for ( _, e in vector(tcp, udp, icmp, unknown_transport) )
		hrw("enum", e);
	i = 0;
	while ( i < 10 )
		{
		Cluster::publish_rr(Cluster::proxy_pool, "turns", turn, fmt("%d", i));
		++i;
		}
	Cluster::publish(Cluster::proxy_topic, done);
	}

event ZeekpeerTest::task(key: string)
	{
	say(fmt("task %s", key));
	}

event ZeekpeerTest::turn(key: string)
	{
	say(fmt("turn %s", key));
	}

event ZeekpeerTest::done()
	{
	say("done");
	}

# Proxies that come before have been seen by then: this handler comes after that of the pools.
event Cluster::node_up(name: string, id: string) &priority=-20
	{
	if ( Cluster::local_node_type() == Cluster::WORKER && ! asked &&
	     Cluster::get_active_node_count(Cluster::PROXY) == Cluster::get_node_count(Cluster::PROXY) )
		{
		asked = T;
		publish_all();
		}
	}
