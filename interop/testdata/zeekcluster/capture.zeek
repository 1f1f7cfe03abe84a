# The worker reads a capture once the cluster has started. Proxies write what workers know of hosts, services,
# certificates and software. "done" follows the last of it.
@load ./node.zeek
@load policy/protocols/conn/known-hosts
@load policy/protocols/conn/known-services
@load policy/protocols/ssl/known-certs
@load policy/frameworks/software/version-changes
@load policy/frameworks/software/vulnerable
@load policy/protocols/ftp/software
@load policy/protocols/http/software
@load policy/protocols/http/software-browser-plugins
@load policy/protocols/mysql/software
@load policy/protocols/smtp/software
@load policy/protocols/ssh/software

redef Site::local_nets += { 0.0.0.0/0, [::]/0 };
redef Software::asset_tracking = ALL_HOSTS;
redef exit_only_after_terminate = T;
redef ignore_checksums = T;

module ZeekpeerTest;

export {
	global done: event();
}

global finished = F;

event zeek_init()
	{
	if ( Cluster::local_node_type() == Cluster::WORKER )
		suspend_processing();
	}

event Cluster::Experimental::cluster_started()
	{
	if ( Cluster::local_node_type() == Cluster::WORKER )
		continue_processing();
	}

event ZeekpeerTest::done()
	{
	say("done");
	if ( ! Cluster::is_enabled() || Cluster::local_node_type() == Cluster::WORKER )
		{
		# Behind all that the events before have published.
		Cluster::publish(Cluster::proxy_topic, done);
		}
	}

event Pcap::file_done(path: string)
	{
	event ZeekpeerTest::done();
	}
