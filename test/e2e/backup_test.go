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

// cluster reads c1 as the management cluster has it.
func cluster(e *harness.Env, name string) (*v1beta1.ManagedCluster, error) {
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

// lostEtcdComesBack removes what the etcd of c1 stores, which nobody tells Berth (C3,
// X2): what was written up to the last delta is there again, nodes and all.
func lostEtcdComesBack(e *harness.Env) {
	management := e.ManagementClient()
	policy := v1beta1.ServicePolicy{}
	policy.Name = v1beta1.ServicePolicyName
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"backupDeltaInterval":"2s"}}`))
	if err := management.Patch(e.T.Context(), &policy, patch); err != nil {
		e.T.Fatal(err)
	}
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"backupDeltaInterval":null}}`)
	nodes := e.Cluster("c1", "get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}")
	e.Cluster("c1", "create", "configmap", "before-the-loss", "--from-literal=a=b")
	objects := e.ObjectsOf("c1")
	written := time.Now()
	var id string
	e.Eventually("what was written is backed up", time.Minute, func() error {
		c, err := cluster(e, "c1")
		if err != nil {
			return err
		}
		id = c.Spec.ID
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionBackedUp) {
			return fmt.Errorf("conditions %+v", c.Status.Conditions)
		}
		return deltaAfter(e, id, written.Add(2*time.Second))
	})
	lost := time.Now()
	e.Management("-n", "cp-"+id, "delete", "pod", "etcd-0", "--grace-period=1", "--wait=false")
	e.T.Logf("%d files of etcd removed", wipe(e, id))
	e.Eventually("the loss is noticed and made good", 4*time.Minute, func() error {
		c, err := cluster(e, "c1")
		if err != nil {
			return err
		}
		if c.Status.Recovery == nil || c.Status.Recovery.UnderWay() || c.Status.APIServerReady == nil {
			return fmt.Errorf("recovery %+v, API server ready %v", c.Status.Recovery, c.Status.APIServerReady)
		}
		if !strings.Contains(c.Status.Recovery.Message, "is back") {
			return fmt.Errorf("recovery says %q", c.Status.Recovery.Message)
		}
		_, err = e.TryCluster("c1", "get", "configmap", "before-the-loss")
		return err
	})
	c, err := cluster(e, "c1")
	if err != nil {
		e.T.Fatal(err)
	}
	e.T.Logf("answers again %.1f s after the loss; noticed after %.1f s, recovered in %.1f s: %s", time.Since(lost).Seconds(),
		c.Status.Recovery.StartTime.Sub(lost).Seconds(), c.Status.Recovery.EndTime.Sub(c.Status.Recovery.StartTime.Time).Seconds(), c.Status.Recovery.Message)
	e.Lost("c1", objects)
	e.Eventually("its nodes are back, not made anew", 2*time.Minute, func() error {
		if now := e.Cluster("c1", "get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}"); now != nodes {
			return fmt.Errorf("nodes %s, before %s", now, nodes)
		}
		if len(e.ReadyNodes("c1")) != len(strings.Fields(nodes)) {
			return errors.New("not all are Ready")
		}
		return nil
	})
	if events := e.Management("get", "events", "-A", "--field-selector=reason=EtcdRecovered", "-o", "jsonpath={.items[*].message}"); !strings.Contains(events, "is lost") {
		e.T.Errorf("the event of the recovery: %q", events)
	}
	e.Eventually("the recovered etcd is backed up", 2*time.Minute, func() error { return deltaAfter(e, id, *timeOf(c.Status.Recovery)) })
}

func timeOf(r *v1beta1.ControlPlaneRecovery) *time.Time { return &r.EndTime.Time }

// deltaAfter looks for a delta in the store that was written after a time.
func deltaAfter(e *harness.Env, id string, after time.Time) error {
	found, err := filepath.Glob(filepath.Join(e.State, "backups", id, "delta-*.zst.age"))
	if err != nil {
		return err
	}
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(after) {
			return nil
		}
	}
	return fmt.Errorf("none of %d deltas is newer", len(found))
}

// wipe removes everything from the volume of a cluster's etcd, which runs.
func wipe(e *harness.Env, id string) int {
	found, err := filepath.Glob(filepath.Join(e.State, "machine", "volumes", "*", "*"))
	if err != nil {
		e.T.Fatal(err)
	}
	removed := 0
	for _, path := range found {
		if filepath.Base(path) != "data" || !strings.Contains(path, volumeOf(e, id)) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			e.T.Fatal(err)
		}
		removed++
	}
	if removed != 1 {
		e.T.Fatalf("%d data directories among %v", removed, found)
	}
	return removed
}

func volumeOf(e *harness.Env, id string) string {
	return e.Management("-n", "cp-"+id, "get", "pvc", "data-etcd-0", "-o", "jsonpath={.spec.volumeName}")
}
