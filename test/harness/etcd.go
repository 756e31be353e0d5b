package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// ManagedCluster reads a cluster as the management cluster has it.
func (e *Env) ManagedCluster(name string) (*v1beta1.ManagedCluster, error) {
	var clusters v1beta1.ManagedClusterList
	if err := e.ManagementClient().List(e.T.Context(), &clusters); err != nil {
		return nil, err
	}
	for i := range clusters.Items {
		if clusters.Items[i].Spec.Name == name {
			return &clusters.Items[i], nil
		}
	}
	return nil, fmt.Errorf("no cluster %s", name)
}

// BackedUpAfter looks into the store for a backup of a kind (full or delta) that was
// written after a time.
func (e *Env) BackedUpAfter(id, kind string, after time.Time) error {
	found, err := filepath.Glob(filepath.Join(e.State, "backups", id, kind+"-*.zst.age"))
	if err != nil {
		return err
	}
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(after) {
			return nil
		}
	}
	return fmt.Errorf("none of %d is newer", len(found))
}

// LoseEtcd ends a cluster's etcd and removes what it stores, which nobody tells Berth.
func (e *Env) LoseEtcd(id string) {
	e.T.Helper()
	volume := e.Management("-n", "cp-"+id, "get", "pvc", "data-etcd-0", "-o", "jsonpath={.spec.volumeName}")
	data := filepath.Join(e.State, "machine", "volumes", volume, "data")
	if _, err := os.Stat(data); volume == "" || err != nil {
		e.T.Fatalf("etcd's data of %s: %v", id, err)
	}
	e.Management("-n", "cp-"+id, "delete", "pod", "etcd-0", "--grace-period=1", "--wait=false")
	if err := os.RemoveAll(data); err != nil {
		e.T.Fatal(err)
	}
}
