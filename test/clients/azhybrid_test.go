package clients

import (
	"testing"

	"berth.dev/berth/internal/arm/armtest"
)

// TestAzHybrid takes a cluster through its life under az's profile for Azure Stack,
// which speaks api-version 2020-11-01: older than eTags, OS SKUs and node OS channels.
func TestAzHybrid(t *testing.T) {
	a, _ := startAz(t)
	a.run(t, "cloud update -n Berth --profile 2020-09-01-hybrid", nil)
	a.login(t)
	a.run(t, "account set -s "+armtest.Subscription, nil)
	a.run(t, "group create -n rg1 -l westus2", nil)

	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1", nil)
	var listed []cluster
	a.run(t, "aks list", &listed)
	if len(listed) != 1 || listed[0].Name != "c1" || listed[0].ProvisioningState != "Succeeded" {
		t.Errorf("list: %+v", listed)
	}
	hybridChanges(t, a)
	for _, line := range []string{
		"aks list -o table", "aks show -g rg1 -n c1 -o table", "aks get-versions -l westus2 -o table", "aks get-upgrades -g rg1 -n c1 -o table",
		"aks get-credentials -g rg1 -n c1", "aks get-credentials -g rg1 -n c1 --admin",
		"aks nodepool list -g rg1 --cluster-name c1 -o table", "aks nodepool show -g rg1 --cluster-name c1 -n nodepool1",
		"aks nodepool get-upgrades -g rg1 --cluster-name c1 --nodepool-name nodepool1",
		"group list -o table", "resource list -g rg1", "provider show -n Microsoft.ContainerService",
	} {
		a.run(t, line, nil)
	}
	a.fails(t, "aks create -g rg1 -n c2 --no-ssh-key --kubernetes-version 1.99.0", "K8sVersionNotSupported", 1)
	a.run(t, "aks delete -g rg1 -n c1 -y", nil)
	a.fails(t, "aks show -g rg1 -n c1", "ResourceNotFound", 3)
	a.run(t, "group delete -n rg1 -y", nil)
}

func hybridChanges(t *testing.T, a az) {
	t.Helper()
	var shown struct {
		cluster
		KubernetesVersion string
		PowerState        struct{ Code string }
	}
	show := func() { a.run(t, "aks show -g rg1 -n c1", &shown) }
	a.run(t, "aks nodepool add -g rg1 --cluster-name c1 -n np2 --node-count 1 --labels tier=web", nil)
	a.run(t, "aks nodepool scale -g rg1 --cluster-name c1 -n np2 --node-count 2", nil)
	a.run(t, "aks nodepool update -g rg1 --cluster-name c1 -n np2 --tags a=b", nil)
	a.run(t, "aks scale -g rg1 -n c1 --nodepool-name nodepool1 --node-count 3", nil)
	// az aks update crashes before it sends anything: its models of 2020-11-01 have no storage profile.
	a.run(t, "resource tag -g rg1 -n c1 --resource-type Microsoft.ContainerService/managedClusters --tags env=test", nil)
	show()
	if len(shown.AgentPoolProfiles) != 2 || shown.AgentPoolProfiles[0].Count != 3 || shown.AgentPoolProfiles[1].Count != 2 || shown.Tags["env"] != "test" {
		t.Errorf("after the changes: %+v", shown)
	}
	a.run(t, "aks stop -g rg1 -n c1", nil)
	if show(); shown.PowerState.Code != "Stopped" {
		t.Errorf("after stop: %+v", shown)
	}
	a.run(t, "aks start -g rg1 -n c1", nil)
	if show(); shown.PowerState.Code != "Running" {
		t.Errorf("after start: %+v", shown)
	}
	a.run(t, "aks upgrade -g rg1 -n c1 --kubernetes-version 1.38.0 --yes", nil)
	if show(); shown.KubernetesVersion != "1.38.0" {
		t.Errorf("after the upgrade: %+v", shown)
	}
	a.run(t, "aks nodepool delete -g rg1 --cluster-name c1 -n np2", nil)
}
