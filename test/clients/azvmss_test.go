package clients

import (
	"strings"
	"testing"
)

// azInstance is what the test reads of an instance.
type azInstance struct {
	InstanceID   string `json:"instanceId"`
	InstanceView struct {
		Statuses []struct{ Code string }
	} `json:"instanceView"`
}

// TestAzVMSS does with az what a customer can do to nodes behind the service's back.
// Debian's az has no working vmss commands but in its profile for Azure Stack.
func TestAzVMSS(t *testing.T) {
	a, w := startAz(t)
	a.run(t, "cloud update -n Berth --profile 2020-09-01-hybrid", nil)
	a.login(t)
	a.run(t, "group create -n rg1 -l westus2", nil)
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 2", nil)
	set := w.Nodes(t, "rg1", "c1", "nodepool1")
	const group = "MC_rg1_c1_westus2"
	of := " -g " + group + " -n " + set

	a.run(t, "group show -n "+group, nil)
	a.run(t, "group update --tags aks-managed-cluster-rg=rg1 -n "+group, nil)
	a.run(t, "group update --tags aks-managed-cluster-rg=rg1 aks-managed-cluster-name=c1 mine=yes -n "+group, nil)
	var resources []struct{ Type string }
	a.run(t, "resource list -g "+group, &resources)
	if len(resources) != 1 || resources[0].Type != "Microsoft.Compute/virtualMachineScaleSets" {
		t.Errorf("resources of the node resource group: %+v", resources)
	}
	var sets []struct {
		Name string
		Tags map[string]string
		SKU  struct{ Capacity int }
	}
	a.run(t, "vmss list -g "+group, &sets)
	if len(sets) != 1 || sets[0].Name != set || sets[0].SKU.Capacity != 2 || sets[0].Tags["aks-managed-poolName"] != "nodepool1" {
		t.Errorf("scale sets: %+v", sets)
	}
	a.run(t, "vmss list -o table", nil)
	a.run(t, "vmss show"+of, nil)
	var instances []azInstance
	a.run(t, "vmss list-instances"+of, &instances)
	if len(instances) != 2 || instances[0].InstanceID != "0" {
		t.Errorf("instances: %+v", instances)
	}
	power := func(instance string) string {
		var view struct{ Statuses []struct{ Code string } }
		a.run(t, "vmss get-instance-view --instance-id "+instance+of, &view)
		return view.Statuses[1].Code
	}
	a.run(t, "vmss deallocate --instance-ids 0"+of, nil)
	if got := power("0"); got != "PowerState/deallocated" {
		t.Errorf("after deallocate: %s", got)
	}
	a.fails(t, "vmss run-command invoke --command-id RunShellScript --instance-id 0 --scripts true"+of, "requires the VM to be running", 1)
	a.run(t, "vmss start"+of, nil)
	if got := power("0"); got != "PowerState/running" {
		t.Errorf("after start: %s", got)
	}
	var ran struct{ Value []struct{ Message string } }
	a.run(t, "vmss run-command invoke --command-id RunShellScript --instance-id 1 --scripts uname --parameters hello who=me"+of, &ran)
	if len(ran.Value) != 1 || !strings.Contains(ran.Value[0].Message, "uname [hello] [who=me]") {
		t.Errorf("run command: %+v", ran)
	}
	// For one instance, az's reimage asks for the whole set as well, before that one is done.
	for _, line := range []string{"vmss restart --instance-ids 0", "vmss reimage", "vmss stop --instance-ids 0", "vmss start --instance-ids 0", "vmss update --set tags.mine=yes", "vmss extension list --vmss-name " + set + " -g " + group} {
		if strings.Contains(line, "extension") {
			a.run(t, line, nil)
			continue
		}
		a.run(t, line+of, nil)
	}
	a.run(t, "vmss list -g "+group, &sets)
	if sets[0].Tags["mine"] != "yes" || sets[0].Tags["aks-managed-poolName"] != "nodepool1" {
		t.Errorf("tags after an update: %+v", sets[0].Tags)
	}
	a.fails(t, "vmss scale --new-capacity 3"+of, "can only get fewer", 1)
	a.run(t, "vmss scale --new-capacity 1"+of, nil)
	a.run(t, "vmss delete-instances --instance-ids 0"+of, nil)
	a.run(t, "vmss list-instances"+of, &instances)
	if len(instances) != 0 {
		t.Errorf("instances that are left: %+v", instances)
	}
	a.fails(t, "vmss delete"+of, "is deleted with it", 1)
}
