// Package host runs Berth's embedded management cluster: one machine straight
// on this host, and the commands that start it, end it and show it.
//
// `berth up` prepares the state directory, starts a detached supervisor
// (`berth host run`) and then talks to the management API server as any client
// would. The supervisor owns everything that the host lends to Berth: a cgroup in
// each hierarchy, the link berth0, an nftables table, a few sysctls, and the
// machine itself, which is its child and dies with it. What the supervisor
// takes it first writes down, so that `berth down` gives everything back even
// after the supervisor was killed or the host was restarted.
//
// # State directory
//
// Everything that outlives a process is in one directory, /var/lib/berth
// unless told otherwise, readable by root alone:
//
//	instance.json        ids drawn once: instance, tenant, client, subscription; the locations
//	pki/kubernetes/      authorities, certificates and keys of the management cluster
//	pki/berth/           Berth's own authority, server certificate, token key, client secret and recovery key
//	admin.kubeconfig     administrator of the management cluster
//	ca-bundle.crt        the system's authorities and Berth's, for clients that take one file
//	azure/               az's configuration directory while `berth env` is in force
//	machine/             what the machine keeps over a restart, each bound to a directory in it:
//	    kubernetes/          /etc/kubernetes: static pods and their files, written by every up
//	    config/              /etc/berth/machine: machine.json, written by every up
//	    cni/                 /etc/cni/net.d: as the network agent last wrote it
//	    containerd/          /var/lib/containerd
//	    kubelet/             /var/lib/kubelet
//	    etcd/                /var/lib/etcd
//	    volumes/             /var/lib/berth/volumes: persistent volumes of the management cluster
//	    registry/            /var/lib/berth/registry: the images that machines pull, linked from the build
//	    log/                 /var/log
//	backups/             the backups of clusters, sealed; a machine made anew keeps them
//	restore.json         while a restore is under way
//	in-use.json          while Berth is down: the versions of Kubernetes that its clusters use
//	run/                 true only until the host restarts: supervisor.json, taken.json, locks, root/
//	logs/                supervisor.log, machine.log
//
// The rest of the machine's file system is the node image, read-only below a
// tmpfs that is new at every start.
package host
