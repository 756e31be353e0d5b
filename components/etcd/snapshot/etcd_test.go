package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd runs an etcd on a data directory until the test or the returned function
// ends it.
func startEtcd(t *testing.T, dir string, change ...func(*embed.Config)) (string, *clientv3.Client, func()) {
	t.Helper()
	config := embed.NewConfig()
	config.Name, config.Dir, config.LogLevel = "etcd-0", dir, "fatal"
	config.TickMs, config.ElectionMs = 10, 100
	client, peer := freeURL(t), freeURL(t)
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.Name + "=" + peer.String()
	for _, c := range change {
		c(config)
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(etcd.Close)
	t.Cleanup(stop)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd does not come up")
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{client.String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client.String(), c, stop
}

// freeURL has a port below those that Linux gives to outgoing connections, so that
// none of the many here takes it before its etcd does.
func freeURL(t *testing.T) url.URL {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err == nil {
			defer listener.Close()
			return url.URL{Scheme: "http", Host: listener.Addr().String()}
		}
	}
	t.Fatal("no port is free")
	return url.URL{}
}

func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}
