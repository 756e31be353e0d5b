// Package cni is the network agent's side of the Container Network Interface: it writes the node's configuration for
// containerd, and reads the results that containerd keeps, to know a pod's address before the API server does.
package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

const (
	// ConfigFile is the name of the configuration in containerd's CNI directory. Its number puts it first.
	ConfigFile = "10-berth.conflist"
	// NetworkName is the network's name in the configuration; results carry it.
	NetworkName = "berth"
	// allocations lies on a tmpfs: addresses of pods that a reboot ended must not stay taken.
	allocations = "/run/berth/ipam"
)

type configList struct {
	CNIVersion string `json:"cniVersion"`
	Name       string `json:"name"`
	Plugins    []any  `json:"plugins"`
}

type ptp struct {
	Type   string `json:"type"`
	IPMasq bool   `json:"ipMasq"`
	MTU    int    `json:"mtu"`
	IPAM   ipam   `json:"ipam"`
}

type ipam struct {
	Type    string       `json:"type"`
	DataDir string       `json:"dataDir"`
	Ranges  [][]ipamPool `json:"ranges"`
	Routes  []ipamRoute  `json:"routes"`
}

type ipamPool struct {
	Subnet string `json:"subnet"`
}

type ipamRoute struct {
	Dst string `json:"dst"`
}

type portmap struct {
	Type         string          `json:"type"`
	Capabilities map[string]bool `json:"capabilities"`
	Backend      string          `json:"backend"`
}

// Config renders the node's CNI configuration: each pod on a routed link of its own, host ports by nftables.
// Masquerading is the agent's, so ptp does none.
func Config(podCIDR netip.Prefix, mtu int) ([]byte, error) {
	list := configList{
		CNIVersion: "1.0.0",
		Name:       NetworkName,
		Plugins: []any{
			ptp{Type: "ptp", MTU: mtu, IPAM: ipam{
				Type:    "host-local",
				DataDir: allocations,
				Ranges:  [][]ipamPool{{{Subnet: podCIDR.Masked().String()}}},
				Routes:  []ipamRoute{{Dst: "0.0.0.0/0"}},
			}},
			portmap{Type: "portmap", Capabilities: map[string]bool{"portMappings": true}, Backend: "nftables"},
		},
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode CNI configuration: %w", err)
	}
	return append(data, '\n'), nil
}

// WriteConfig puts the configuration into dir in one step: containerd never reads half of it. An equal file is left
// alone, so that containerd does not reload for nothing.
func WriteConfig(dir string, data []byte) error {
	path := filepath.Join(dir, ConfigFile)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make CNI directory: %w", err)
	}
	// containerd takes *.conf, *.conflist and *.json; this name is none of them.
	temporary := filepath.Join(dir, "."+ConfigFile+".new")
	err := os.WriteFile(temporary, data, 0o644)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write CNI configuration: %w", err), os.RemoveAll(temporary))
	}
	return nil
}
