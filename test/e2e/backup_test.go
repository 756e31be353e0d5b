package e2e

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

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
		c, err := e.ManagedCluster("c1")
		if err != nil {
			return err
		}
		id = c.Spec.ID
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionBackedUp) {
			return fmt.Errorf("conditions %+v", c.Status.Conditions)
		}
		return e.BackedUpAfter(id, "delta", written.Add(2*time.Second))
	})
	lost := time.Now()
	e.LoseEtcd(id)
	e.Eventually("the loss is noticed and made good", 4*time.Minute, func() error {
		c, err := e.ManagedCluster("c1")
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
	c, err := e.ManagedCluster("c1")
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
	e.Eventually("the recovered etcd is backed up", 2*time.Minute, func() error { return e.BackedUpAfter(id, "full", c.Status.Recovery.EndTime.Time) })
}
