package cni

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestConfigIsWhatContainerdReads(t *testing.T) {
	data, err := Config(netip.MustParsePrefix("10.244.3.7/24"), 1450)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		CNIVersion, Name string
		Plugins          []struct {
			Type   string
			IPMasq bool
			MTU    int
			IPAM   struct {
				Type   string
				Ranges [][]struct{ Subnet string }
				Routes []struct{ Dst string }
			}
			Capabilities map[string]bool
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if list.CNIVersion != "1.0.0" || list.Name != NetworkName || len(list.Plugins) != 2 {
		t.Fatalf("configuration: %s", data)
	}
	link, ports := list.Plugins[0], list.Plugins[1]
	if link.Type != "ptp" || link.IPMasq || link.MTU != 1450 || link.IPAM.Ranges[0][0].Subnet != "10.244.3.0/24" ||
		link.IPAM.Type != "host-local" || link.IPAM.Routes[0].Dst != "0.0.0.0/0" {
		t.Errorf("link: %+v", link)
	}
	if ports.Type != "portmap" || !ports.Capabilities["portMappings"] {
		t.Errorf("ports: %+v", ports)
	}
}

func TestWriteConfig(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net.d")
	path := filepath.Join(dir, ConfigFile)
	if err := WriteConfig(dir, []byte("one")); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1, 0)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if err := WriteConfig(dir, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("an equal configuration was written again: containerd would reload (%v)", err)
	}
	if err := WriteConfig(dir, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "two" {
		t.Errorf("configuration %q %v", data, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	if err := WriteConfig(path, []byte("x")); err == nil {
		t.Error("a file in the directory's place was accepted")
	}
}

// cached is a file as libcni writes it, shortened to what is read and some of what is not.
const cached = `{"kind":"cniCacheV1","containerId":"c1","config":"e30=","ifName":"eth0","networkName":"berth",
"cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","kube-system"],["K8S_POD_NAME","coredns-1"],["K8S_POD_INFRA_CONTAINER_ID","c1"]],
"capabilityArgs":{"portMappings":null},
"result":{"cniVersion":"1.0.0","interfaces":[{"name":"veth1"}],"ips":[{"address":"fd00::2/64"},{"address":"10.244.3.2/24","gateway":"10.244.3.1","interface":1}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}}`

func put(t *testing.T, dir, name, content string, modified int64) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Unix(modified, 0), time.Unix(modified, 0)); err != nil {
		t.Fatal(err)
	}
}

func TestAttachments(t *testing.T) {
	dir := t.TempDir()
	results := NewResults(dir)
	addr := netip.MustParseAddr("10.244.3.2")
	put(t, dir, "berth-c1-eth0", cached, 1)
	put(t, dir, "other-c1-eth0", cached, 1)
	put(t, dir, "berth-c2-eth0", `{"cniArgs":[["K8S_POD_NAME","x"]],"result":{"ips":[]}}`, 1)
	got, err := results.Attachments()
	if err != nil || len(got) != 1 || got[addr] != (Attachment{"kube-system", "coredns-1", addr}) {
		t.Fatalf("attachments: %v %v", got, err)
	}

	// After a reboot the old sandbox's result is still there when another pod gets its address.
	put(t, dir, "berth-c3-eth0", `{"cniArgs":[["K8S_POD_NAMESPACE","x"],["K8S_POD_NAME","new"]],"result":{"ips":[{"address":"10.244.3.2/24"}]}}`, 5)
	if got, err = results.Attachments(); err != nil || got[addr].Pod != "new" {
		t.Errorf("address belongs to %v %v, want the later result", got[addr], err)
	}

	put(t, dir, "berth-c4-eth0", `{"half":`, 6)
	if got, err = results.Attachments(); err == nil || got[addr].Pod != "new" {
		t.Errorf("a broken result: %v %v, want an error and the others", got, err)
	}

	for _, name := range []string{"berth-c3-eth0", "berth-c4-eth0"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = results.Attachments(); err != nil || got[addr].Pod != "coredns-1" {
		t.Errorf("after removal: %v %v", got, err)
	}
	if got, err = NewResults(filepath.Join(dir, "none")).Attachments(); err != nil || len(got) != 0 {
		t.Errorf("no directory: %v %v", got, err)
	}
}

func TestWatchNoticesResults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cni", "results")
	changed := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, dir, func() { changed <- struct{}{} }) }()
	deadline := time.After(20 * time.Second)
	noticed := func(what string, act func() error) {
		t.Helper()
		for {
			// The watch may not stand yet: do it again.
			if err := act(); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			select {
			case <-changed:
				return
			case <-time.After(20 * time.Millisecond):
			case <-deadline:
				t.Fatalf("%s was not noticed", what)
			}
		}
	}
	path := filepath.Join(dir, "berth-c1-eth0")
	noticed("a result", func() error { return os.WriteFile(path, []byte(cached), 0o600) })
	noticed("its end", func() error {
		return os.Remove(path)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
}
