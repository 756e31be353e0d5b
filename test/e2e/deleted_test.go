package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// recoversDeleted deletes c1 and brings it back, with what it held, its nodes' names and
// the kubeconfig from before (X3).
func recoversDeleted(e *harness.Env) {
	e.Cluster("c1", "create", "configmap", "before-the-deletion", "--from-literal=a=b")
	before, err := e.ManagedCluster("c1")
	if err != nil {
		e.T.Fatal(err)
	}
	pods := e.Cluster("c1", "get", "deployments", "-A", "-o", "name")
	nodes := len(strings.Fields(e.Cluster("c1", "get", "nodes", "-o", "name")))
	e.Run("az", "aks", "delete", "-g", "rg1", "-n", "c1", "-y")
	if listed := e.Run("berth", "cluster", "list-deleted", "-g", "rg1"); !strings.Contains(listed, before.Spec.ID) {
		e.T.Fatalf("list-deleted: %s", listed)
	}
	began := time.Now()
	e.Run("berth", "cluster", "recover", "-g", "rg1", "-n", "c1")
	e.T.Logf("recovered in %.1f s", time.Since(began).Seconds())
	if out, err := e.TryCluster("c1", "get", "configmap", "before-the-deletion", "-o", "jsonpath={.data.a}"); err != nil || out != "b" {
		e.T.Fatalf("what was written before the deletion: %s (%v)", out, err)
	}
	if again := e.Cluster("c1", "get", "deployments", "-A", "-o", "name"); again != pods {
		e.T.Errorf("deployments %s, before %s", again, pods)
	}
	e.Eventually("its nodes are ready, and no others are there", 2*time.Minute, func() error {
		all := strings.Fields(e.Cluster("c1", "get", "nodes", "-o", "name"))
		if ready := e.ReadyNodes("c1"); len(ready) != nodes || len(all) != nodes {
			return fmt.Errorf("ready %v of %v, want %d", ready, all, nodes)
		}
		return nil
	})
	if after, err := e.ManagedCluster("c1"); err != nil || after.Spec.ID != before.Spec.ID {
		e.T.Errorf("the cluster that came back: %+v (%v)", after, err)
	}
	e.Eventually("a cluster that runs and is backed up is listed as deleted no more", time.Minute, func() error {
		if listed := e.Run("berth", "cluster", "list-deleted", "-g", "rg1"); strings.Contains(listed, before.Spec.ID) {
			return errors.New(listed)
		}
		return nil
	})
}

// recoversStopped stops c1 while its store takes nothing and deletes it when that does again: it
// comes back with what was written last, which only its volume had (X3).
func recoversStopped(e *harness.Env) {
	before, err := e.ManagedCluster("c1")
	if err != nil {
		e.T.Fatal(err)
	}
	e.Eventually("the store has its backups", time.Minute, func() error { return e.BackedUpAfter(before.Spec.ID, "full", time.Time{}) })
	store := filepath.Join(e.State, "backups", before.Spec.ID)
	away(e, store, 0o000)
	e.Cluster("c1", "create", "configmap", "before-the-stop", "--from-literal=a=b")
	e.Run("az", "aks", "stop", "-g", "rg1", "-n", "c1")
	away(e, store, 0o700)
	began := time.Now()
	e.Run("az", "aks", "delete", "-g", "rg1", "-n", "c1", "-y")
	e.T.Logf("deleted in %.1f s", time.Since(began).Seconds())
	e.Run("berth", "cluster", "recover", "-g", "rg1", "-n", "c1")
	if out, err := e.TryCluster("c1", "get", "configmap", "before-the-stop", "-o", "jsonpath={.data.a}"); err != nil || out != "b" {
		e.T.Fatalf("what was written before the stop: %s (%v)", out, err)
	}
}

// away gives the directory of a store such a mode: Berth is not root there.
func away(e *harness.Env, store string, mode os.FileMode) {
	e.T.Helper()
	if err := os.Chmod(store, mode); err != nil {
		e.T.Fatal(err)
	}
}
