package main

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// One of two members, without the other, cannot go on; made the only one it has all that
// both had stored, and stays the only one.
func TestMemberIsMadeTheOnlyOne(t *testing.T) {
	dir := t.TempDir()
	var peers [2]url.URL
	cluster := ""
	for i := range peers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		peers[i] = url.URL{Scheme: "http", Host: listener.Addr().String()}
		listener.Close()
		cluster += fmt.Sprintf("etcd-%d=%s,", i, peers[i].String())
	}
	var members [2]*embed.Etcd
	for i, peer := range peers {
		config := embed.NewConfig()
		config.Name, config.Dir, config.LogLevel = fmt.Sprintf("etcd-%d", i), filepath.Join(dir, fmt.Sprint(i)), "fatal"
		config.ListenClientUrls, config.AdvertiseClientUrls = nil, nil
		config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		config.InitialCluster = cluster[:len(cluster)-1]
		etcd, err := embed.StartEtcd(config)
		if err != nil {
			t.Fatal(err)
		}
		members[i] = etcd
	}
	for _, etcd := range members {
		<-etcd.Server.ReadyNotify()
	}
	// A write through the second is on both.
	client := v3client.New(members[1].Server)
	if _, err := client.Put(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := v3client.New(members[0].Server).Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for _, etcd := range members {
		etcd.Close()
	}
	for _, alone := range []bool{true, false} {
		found, err := runChild(t.Context(), "examine", examination{DataDir: filepath.Join(dir, "0"), Name: "etcd-0", Alone: alone})
		if err != nil || found.damage != "" || found.Keys != 1 || found.Revision != 2 {
			t.Errorf("alone %v: %+v %s %v", alone, found.content, found.damage, err)
		}
	}
}
