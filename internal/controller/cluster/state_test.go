package cluster

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

var everyObservation = []observation{
	sawDeletion, sawBreakage, sawSettled, sawPools, sawChange, sawProgress, sawStopping, sawStarting, sawRotation, sawUpgrade,
}

// Every state that the table can lead to has a row, and every row an answer to
// every observation.
func TestStatesAreComplete(t *testing.T) {
	for from, row := range states {
		for _, seen := range everyObservation {
			to, ok := row[seen]
			if !ok {
				t.Errorf("%q has no answer to %s", from, seen)
			}
			if _, ok := states[to]; !ok {
				t.Errorf("%q leads to %q on %s, which has no row", from, to, seen)
			}
		}
		if len(row) != len(everyObservation) {
			t.Errorf("%q answers to %d observations, there are %d", from, len(row), len(everyObservation))
		}
	}
}

// What each rule is for, beside the table that only says what.
func TestStateRules(t *testing.T) {
	for _, c := range []struct {
		why  string
		from v1beta1.ProvisioningState
		seen observation
		want v1beta1.ProvisioningState
	}{
		{"an outage is a condition, not a change of provisioning", v1beta1.StateSucceeded, sawProgress, v1beta1.StateSucceeded},
		{"a pool of its own pace does not reopen a cluster that was made", v1beta1.StateSucceeded, sawPools, v1beta1.StateSucceeded},
		{"a new cluster is made only with its pools", v1beta1.StateCreating, sawPools, v1beta1.StateCreating},
		{"a change is Updating until it is true", v1beta1.StateSucceeded, sawChange, v1beta1.StateUpdating},
		{"a cluster that came up after all is not failed", v1beta1.StateFailed, sawSettled, v1beta1.StateSucceeded},
		{"a stop lasts until nothing runs", v1beta1.StateStopping, sawStopping, v1beta1.StateStopping},
		{"and is done then", v1beta1.StateStopping, sawSettled, v1beta1.StateSucceeded},
		{"a stopped cluster that is asked to run starts", v1beta1.StateSucceeded, sawStarting, v1beta1.StateStarting},
		{"a start ends with its nodes, not with its control plane", v1beta1.StateStarting, sawPools, v1beta1.StateStarting},
		{"a stop that is turned round has to bring the nodes back", v1beta1.StateStopping, sawPools, v1beta1.StateStarting},
		{"a start that failed can be stopped", v1beta1.StateFailed, sawStopping, v1beta1.StateStopping},
		{"a change of version is shown as such", v1beta1.StateSucceeded, sawUpgrade, v1beta1.StateUpgrading},
		{"the pools of a cluster that was upgraded have a pace of their own", v1beta1.StateUpgrading, sawPools, v1beta1.StateSucceeded},
		{"another attempt at an upgrade that failed", v1beta1.StateFailed, sawUpgrade, v1beta1.StateUpgrading},
		{"nothing comes back from a delete", v1beta1.StateDeleting, sawSettled, v1beta1.StateDeleting},
		{"a delete takes a failed cluster too", v1beta1.StateFailed, sawDeletion, v1beta1.StateDeleting},
	} {
		if got := states[c.from][c.seen]; got != c.want {
			t.Errorf("%s: %s on %s gives %s, want %s", c.why, c.from, c.seen, got, c.want)
		}
	}
}

func TestObserve(t *testing.T) {
	deleted := metav1.Now()
	ready := findings{rolledOut: true, addonsApplied: true, poolsReady: true}
	stopped, running := v1beta1.PowerStopped, v1beta1.PowerRunning
	failedPool := ready
	failedPool.poolsReady, failedPool.poolFailure = false, &v1beta1.OperationError{Code: "X"}
	for _, c := range []struct {
		why     string
		state   v1beta1.ProvisioningState
		behind  bool
		deleted bool
		power   v1beta1.PowerCode
		found   findings
		want    observation
	}{
		{why: "all is well", found: ready, want: sawSettled},
		{why: "a delete goes before everything", deleted: true, found: ready, want: sawDeletion},
		{why: "what cannot be made is broken even if the old one runs", found: with(ready, func(f *findings) { f.broken = &v1beta1.OperationError{} }), want: sawBreakage},
		{why: "pods of the old template are left", state: v1beta1.StateSucceeded, found: with(ready, func(f *findings) { f.rolledOut = false }), want: sawProgress},
		{why: "the API server is silent", state: v1beta1.StateSucceeded, found: with(ready, func(f *findings) { f.notReady = errors.New("refused") }), want: sawProgress},
		{why: "the spec changed since", behind: true, found: with(ready, func(f *findings) { f.addonsApplied = false }), want: sawChange},
		{why: "a pool that fails fails the create", state: v1beta1.StateCreating, found: failedPool, want: sawBreakage},
		{why: "nodes drain before the control plane goes", state: v1beta1.StateSucceeded, power: running, found: with(ready, func(f *findings) { f.stop = true }), want: sawStopping},
		{why: "a stopped cluster has no process", state: v1beta1.StateStopping, power: running, found: findings{stop: true, off: true}, want: sawSettled},
		{why: "pods that came back are to go again", state: v1beta1.StateSucceeded, power: stopped, found: findings{stop: true}, want: sawStopping},
		{why: "a pool that fails does not hold a stop up", state: v1beta1.StateStopping, power: running, found: with(failedPool, func(f *findings) { f.stop = true }), want: sawStopping},
		{why: "a control plane alone is no started cluster", state: v1beta1.StateStarting, power: stopped, found: with(ready, func(f *findings) { f.poolsReady = false }), want: sawStarting},
		{why: "a pool that fails fails the start", state: v1beta1.StateStarting, power: stopped, found: failedPool, want: sawBreakage},
		{why: "and also that of a stop that was turned round", state: v1beta1.StateStarting, power: running, found: failedPool, want: sawBreakage},
		{why: "a delete goes before a stop", state: v1beta1.StateStopping, power: running, deleted: true, found: findings{stop: true}, want: sawDeletion},
		{why: "what runs is not what was asked for until the upgrade has ended", state: v1beta1.StateUpgrading, found: with(ready, func(f *findings) { f.upgrading = true }), want: sawUpgrade},
		{why: "an upgrade that failed is a breakage though the old version runs", state: v1beta1.StateUpgrading, found: with(ready, func(f *findings) { f.broken = &v1beta1.OperationError{} }), want: sawBreakage},
		{why: "a pool that fails later is its own affair", state: v1beta1.StateSucceeded, found: failedPool, want: sawPools},
	} {
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
		cluster.Status.ProvisioningState, cluster.Status.ObservedGeneration = c.state, 2
		cluster.Status.PowerState.Code = c.power
		if c.behind {
			cluster.Status.ObservedGeneration = 1
		}
		if c.deleted {
			cluster.DeletionTimestamp = &deleted
		}
		if got := observe(cluster, &c.found); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

func with(f findings, change func(*findings)) findings {
	change(&f)
	return f
}
