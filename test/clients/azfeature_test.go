package clients

import (
	"testing"
)

// TestAzFeature registers a preview with az before it uses it.
func TestAzFeature(t *testing.T) {
	a, _ := startAz(t)
	a.login(t)
	a.run(t, "group create -n rg1 -l westus2", nil)
	const name = "Microsoft.ContainerService/KubernetesVersionPreview"
	const one = " --namespace Microsoft.ContainerService --name KubernetesVersionPreview"
	type feature struct {
		Name       string `json:"name"`
		Properties struct {
			State string `json:"state"`
		} `json:"properties"`
	}
	var all, ours []feature
	a.run(t, "feature list", &all)
	a.run(t, "feature list --namespace Microsoft.ContainerService", &ours)
	if len(all) != 1 || len(ours) != 1 || ours[0].Name != name || ours[0].Properties.State != "NotRegistered" {
		t.Errorf("list: %+v, of the provider: %+v", all, ours)
	}
	a.fails(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1 -k 1.39.0", "Preview feature "+name+" not registered", 1)
	var shown feature
	a.run(t, "feature register"+one, nil)
	a.run(t, "feature show"+one, &shown)
	if shown.Properties.State != "Registered" {
		t.Errorf("show: %+v", shown)
	}
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1 -k 1.39.0", nil)
	a.run(t, "feature unregister"+one, &shown)
	if shown.Properties.State != "Unregistered" {
		t.Errorf("unregister: %+v", shown)
	}
}
