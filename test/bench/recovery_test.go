package bench

import (
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/test/harness"
)

// recoveryPatience is how long a recovery may take before the flow has failed.
const recoveryPatience = 3 * time.Minute

// recoverCluster removes what an etcd stores and measures until the API server answers
// again with what was backed up.
func recoverCluster(e *harness.Env, results *table, what, name string) {
	e.T.Helper()
	cluster, err := e.ManagedCluster(name)
	if err != nil {
		e.T.Fatal(err)
	}
	id := cluster.Spec.ID
	e.Eventually("a backup", recoveryPatience, func() error { return e.BackedUpAfter(id, "full", cluster.CreationTimestamp.Time) })
	lost := time.Now()
	began := metav1.NewTime(lost.Truncate(time.Second))
	e.LoseEtcd(id)
	e.Eventually("the recovery", recoveryPatience, func() error {
		c, err := e.ManagedCluster(name)
		if err != nil {
			return err
		}
		if c.Status.Recovery == nil || c.Status.Recovery.StartTime.Before(&began) || c.Status.Recovery.UnderWay() || c.Status.APIServerReady == nil {
			return errors.New("it goes on")
		}
		return nil
	})
	results.add(what, "s", "≤ 10", time.Since(lost).Seconds())
}
