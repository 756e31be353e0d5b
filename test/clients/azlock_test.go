package clients

import (
	"slices"
	"strings"
	"testing"
)

// azLock is what the test reads of a lock.
type azLock struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Level string `json:"level"`
	Notes string `json:"notes"`
}

// TestAzLock locks a cluster, its group and the subscription with az.
func TestAzLock(t *testing.T) {
	a, _ := startAz(t)
	a.login(t)
	a.run(t, "group create -n rg1 -l westus2", nil)
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1", nil)

	const cluster = " -g rg1 --resource-type Microsoft.ContainerService/managedClusters --resource-name c1"
	const pool = " -g rg1 --namespace Microsoft.ContainerService --parent managedClusters/c1 --resource-type agentPools --resource-name nodepool1"
	var made, changed, shown azLock
	a.run(t, "lock create -n keep --lock-type CanNotDelete --notes why"+cluster, &made)
	if made.Level != "CanNotDelete" || made.Notes != "why" || !strings.HasSuffix(made.ID, "/managedClusters/c1/providers/Microsoft.Authorization/locks/keep") {
		t.Errorf("create: %+v", made)
	}
	a.fails(t, "aks delete -g rg1 -n c1 -y", "(ScopeLocked)", 1)
	a.fails(t, "group delete -n rg1 -y", "(ScopeLocked)", 1)
	a.run(t, "aks update -g rg1 -n c1 --tags a=b --yes", nil)

	// az reads the lock, changes it and puts it back.
	a.run(t, "lock update -n keep --lock-type ReadOnly"+cluster, &changed)
	a.run(t, "lock show --ids "+made.ID, &shown)
	if changed.Level != "ReadOnly" || changed.Notes != "why" || shown != changed {
		t.Errorf("update: %+v, show: %+v", changed, shown)
	}
	a.fails(t, "aks get-credentials -g rg1 -n c1", "cannot perform write operation", 1)
	a.fails(t, "aks scale -g rg1 -n c1 --node-count 2", "(ScopeLocked)", 1)
	a.run(t, "aks show -g rg1 -n c1", nil)
	a.run(t, "lock delete --ids "+made.ID, nil)

	a.run(t, "lock create -n sub --lock-type CanNotDelete", nil)
	a.run(t, "group lock create -n group --lock-type CanNotDelete -g rg1", nil)
	a.run(t, "lock create -n pool --lock-type CanNotDelete"+pool, nil)
	for _, c := range []struct{ line, want string }{
		{"lock list", "group pool sub"},
		{"lock list -g rg1", "group pool sub"},
		{"lock list --filter-string atScope() -g rg1", "group sub"},
	} {
		var listed []azLock
		a.run(t, c.line, &listed)
		var names []string
		for _, lock := range listed {
			names = append(names, lock.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.line, got, c.want)
		}
	}
	a.run(t, "lock delete -n pool"+pool, nil)
	a.run(t, "group lock delete -n group -g rg1", nil)
	a.fails(t, "aks delete -g rg1 -n c1 -y", "(ScopeLocked)", 1)
	a.run(t, "lock delete -n sub", nil)
	a.run(t, "aks delete -g rg1 -n c1 -y", nil)
	a.run(t, "group delete -n rg1 -y", nil)
}
