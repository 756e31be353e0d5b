package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// lostMachine removes all of a Berth but its store and the operator's copies, and has it
// brought back (C3, X3): the cluster answers under the kubeconfig from before, with what
// was written in it, and its node joins again. Backups of a cluster that what is
// restored does not know stay.
func lostMachine(e *harness.Env, cluster string) {
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"backupDeltaInterval":"2s"}}`)
	e.Cluster(cluster, "create", "configmap", "before-the-loss", "--from-literal=a=b")
	node := e.Cluster(cluster, "get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}")
	c, err := e.ManagedCluster(cluster)
	if err != nil {
		e.T.Fatal(err)
	}
	written := time.Now()
	e.Eventually("what was written is backed up, and so is Berth", time.Minute, func() error {
		if err := e.BackedUpAfter(c.Spec.ID, "delta", written.Add(2*time.Second)); err != nil {
			return fmt.Errorf("the cluster: %w", err)
		}
		return berthBackedUp(e, written.Add(2*time.Second))
	})
	if status := e.Run("berth", "status", "--state-dir", e.State); !strings.Contains(status, "Own backup") || !strings.Contains(status, filepath.Join(e.State, "backups")) {
		e.T.Errorf("berth status does not say where Berth's own backup is:\n%s", status)
	}
	store, key := e.LoseMachine()
	if err := os.Mkdir(filepath.Join(store, "made-later"), 0o700); err != nil {
		e.T.Fatal(err)
	}
	lost := time.Now()
	out := e.Run("berth", "up", "--state-dir", e.State, "--restore", "file://"+store, "--recovery-key", key)
	e.T.Logf("berth up --restore took %.1f s:\n%s", time.Since(lost).Seconds(), out)
	if !strings.Contains(out, "backups now: 1") || !strings.Contains(out, "made-later") {
		e.T.Error("the restore does not say what is back and what it does not know")
	}
	e.Eventually("the cluster has what was written", 4*time.Minute, func() error {
		_, err := e.TryCluster(cluster, "get", "configmap", "before-the-loss")
		return err
	})
	e.T.Logf("the cluster answers %.1f s after the restore began", time.Since(lost).Seconds())
	e.Eventually("its node has joined again", 4*time.Minute, func() error {
		if now := e.Cluster(cluster, "get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}"); now != node {
			return fmt.Errorf("nodes %s, before %s", now, node)
		}
		m, err := e.Machines(cluster)
		if err != nil {
			return err
		}
		for _, machine := range m {
			if machine.Status.Phase != v1beta1.MachineReady {
				return fmt.Errorf("machine %s is %s", machine.Name, machine.Status.Phase)
			}
		}
		if len(e.ReadyNodes(cluster)) != 1 {
			return errors.New("it is not Ready")
		}
		return nil
	})
	e.T.Logf("its node is Ready %.1f s after the restore began", time.Since(lost).Seconds())
	back := time.Now()
	e.Eventually("Berth is backed up again", 2*time.Minute, func() error { return berthBackedUp(e, back) })
	if _, err := os.Stat(filepath.Join(e.State, "backups", "made-later")); err != nil {
		e.T.Errorf("what the restored Berth does not know: %v", err)
	}
}

// berthBackedUp says whether everything that Berth knew at a time is in the store.
func berthBackedUp(e *harness.Env, at time.Time) error {
	var own v1beta1.ManagementCluster
	if err := e.ManagementClient().Get(e.T.Context(), client.ObjectKey{Name: v1beta1.ManagementClusterName}, &own); err != nil {
		return err
	}
	if !meta.IsStatusConditionTrue(own.Status.Conditions, v1beta1.ConditionBackedUp) {
		return fmt.Errorf("conditions %+v", own.Status.Conditions)
	}
	if point := own.Status.Backup.RecoveryPoint; point == nil || !point.After(at) {
		return fmt.Errorf("recovery point %v, want one after %v", point, at)
	}
	return nil
}
