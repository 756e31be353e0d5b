package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

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

// EtcdData is the directory of what a member of a cluster's etcd stores.
func (e *Env) EtcdData(id, member string) string {
	e.T.Helper()
	volume := e.Management("-n", v1beta1.ControlPlaneNamespace(id), "get", "pvc", "data-"+member, "-o", "jsonpath={.spec.volumeName}")
	data := e.VolumeData(volume)
	if _, err := os.Stat(data); volume == "" || err != nil {
		e.T.Fatalf("etcd's data of %s: %v", id, err)
	}
	return data
}

// VolumeData is the directory of what etcd stores in a volume.
func (e *Env) VolumeData(volume string) string {
	return filepath.Join(e.State, "machine", "volumes", volume, "data")
}

// LoseEtcd ends a cluster's etcd and removes what it stores, which nobody tells Berth.
func (e *Env) LoseEtcd(id string) {
	e.T.Helper()
	data := e.EtcdData(id, "etcd-0")
	e.Management("-n", "cp-"+id, "delete", "pod", "etcd-0", "--grace-period=1", "--wait=false")
	if err := os.RemoveAll(data); err != nil {
		e.T.Fatal(err)
	}
}

// LoseEtcdAndBerth kills Berth and a cluster's etcd, and removes what that stores: nobody has
// heard what was written last.
func (e *Env) LoseEtcdAndBerth(id string) {
	e.T.Helper()
	data := e.EtcdData(id, "etcd-0")
	uid := e.Management("-n", v1beta1.ControlPlaneNamespace(id), "get", "pod", "etcd-0", "-o", "jsonpath={.metadata.uid}")
	gone := data + ".gone"
	// Renamed first: who comes up at once must not find it.
	if err := errors.Join(e.Signal("", "berth serve", unix.SIGKILL), os.Rename(data, gone), e.Signal(uid, "etcd --name", unix.SIGKILL)); err != nil {
		e.T.Fatal(err)
	}
	e.Eventually("what etcd stored is gone", time.Minute, func() error { return os.RemoveAll(gone) }) // it may be writing still
}

// LoseMachine ends this Berth and removes its state directory, but for copies of the
// store and of the recovery key, which it returns.
func (e *Env) LoseMachine() (store, key string) {
	e.T.Helper()
	e.Run("berth", "down", "--state-dir", e.State)
	kept := e.State + "-kept"
	e.T.Cleanup(func() { os.RemoveAll(kept) })
	if err := os.Mkdir(kept, 0o700); err != nil {
		e.T.Fatal(err)
	}
	store, key = filepath.Join(kept, "store"), filepath.Join(kept, "recovery.key")
	for from, to := range map[string]string{"backups": store, "pki/berth/recovery.key": key, "kubeconfig": filepath.Join(kept, "kubeconfig")} {
		if err := os.Rename(filepath.Join(e.State, from), to); err != nil {
			e.T.Fatal(err)
		}
	}
	if err := os.RemoveAll(e.State); err != nil {
		e.T.Fatal(err)
	}
	e.vars = append(e.vars, "KUBECONFIG="+filepath.Join(kept, "kubeconfig"))
	return store, key
}

// Machines are those of a cluster.
func (e *Env) Machines(cluster string) ([]v1beta1.Machine, error) {
	c, err := e.ManagedCluster(cluster)
	if err != nil {
		return nil, err
	}
	var machines v1beta1.MachineList
	if err := e.ManagementClient().List(e.T.Context(), &machines); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(machines.Items, func(m v1beta1.Machine) bool { return m.Spec.ClusterID != c.Spec.ID }), nil
}
