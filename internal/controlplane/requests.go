package controlplane

import (
	"net"

	"berth.dev/berth/internal/pki"
)

// frontProxyUser is the only name that may speak for other users to an extension
// API server.
const frontProxyUser = "front-proxy-client"

func apiServer(in Input, serviceIP string) pki.Request {
	return serverOf("kube-apiserver",
		[]string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			"localhost", APIServerService + "." + in.namespace() + ".svc", in.FQDN,
		},
		in.APIServerAddress, serviceIP, "127.0.0.1")
}

func konnectivityServer(in Input) pki.Request {
	return serverOf("konnectivity-server", []string{in.FQDN}, in.APIServerAddress, "127.0.0.1")
}

func metricsServer() pki.Request {
	return serverOf("metrics-server", []string{"metrics-server.kube-system.svc", "metrics-server.kube-system", "localhost"})
}

// etcdServer is a client too: etcd's own gateway dials it.
func etcdServer(in Input) pki.Request {
	request := serverOf("etcd", []string{"localhost", EtcdService + "." + in.namespace() + ".svc"}, in.EtcdAddress, "127.0.0.1")
	request.Usage |= pki.Client
	return request
}

// memberServer and memberPeer are for all members alike.
func memberServer(in Input) pki.Request {
	request := etcdServer(in)
	for ordinal, address := range in.MemberAddresses {
		request.DNSNames = append(request.DNSNames, memberHost(int32(ordinal)))
		if ip := net.ParseIP(address); ip != nil {
			request.IPs = append(request.IPs, ip)
		}
	}
	return request
}

func memberPeer() pki.Request {
	var names []string
	for ordinal := range int32(Replicas) {
		names = append(names, memberHost(ordinal))
	}
	request := serverOf(peerUser, names)
	request.Usage |= pki.Client
	return request
}

func serverOf(commonName string, names []string, addresses ...string) pki.Request {
	request := pki.Request{CommonName: commonName, DNSNames: names, Usage: pki.Server, Life: leafLife}
	for _, address := range addresses {
		if ip := net.ParseIP(address); ip != nil {
			request.IPs = append(request.IPs, ip)
		}
	}
	return request
}

func clientOf(commonName string, organizations ...string) pki.Request {
	return pki.Request{CommonName: commonName, Organizations: organizations, Usage: pki.Client, Life: leafLife}
}
