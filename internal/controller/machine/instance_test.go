package machine

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// An action that never shows ends with its operation, and with it what keeps the machine
// from being repaired; one that shows however late is done.
func TestActionsEnd(t *testing.T) {
	asked := time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	up := machine.Observation{State: machine.Running, Incarnation: "1", Boots: 1}
	down := machine.Observation{State: machine.Starting, Incarnation: "1", Boots: 1}
	again := machine.Observation{State: machine.Running, Incarnation: "1", Boots: 2}
	for _, c := range []struct {
		why     string
		action  v1beta1.InstanceAction
		seen    machine.Observation
		after   time.Duration
		timeout *metav1.Duration
		want    v1beta1.OperationStatusCode
	}{
		{"it has yet to show", v1beta1.InstanceRestart, up, 30 * time.Minute, nil, v1beta1.OperationInProgress},
		{"a restart that shows", v1beta1.InstanceRestart, again, time.Minute, nil, v1beta1.OperationSucceeded},
		{"a restart that never shows", v1beta1.InstanceRestart, up, 32 * time.Minute, nil, v1beta1.OperationFailed},
		{"a start that never shows", v1beta1.InstanceStart, down, 32 * time.Minute, nil, v1beta1.OperationFailed},
		{"a reimage that never shows", v1beta1.InstanceReimage, up, 32 * time.Minute, nil, v1beta1.OperationFailed},
		{"late is not never", v1beta1.InstanceRestart, again, time.Hour, nil, v1beta1.OperationSucceeded},
		{"the policy has more time", v1beta1.InstanceRestart, up, 32 * time.Minute, &metav1.Duration{Duration: time.Hour}, v1beta1.OperationInProgress},
		{"the policy has less", v1beta1.InstanceRestart, up, 3 * time.Minute, &metav1.Duration{Duration: time.Minute}, v1beta1.OperationFailed},
	} {
		object := &v1beta1.Machine{Spec: v1beta1.MachineSpec{Requested: &v1beta1.InstanceRequest{Action: c.action, Operation: "op", Time: metav1.NewTime(asked)}}}
		noteInstance(object, up, "token", metav1.NewTime(asked), false)
		now := asked.Add(c.after)
		noteInstance(object, c.seen, "token", metav1.NewTime(now), now.After(instanceDeadline(object, c.timeout)))
		progress := object.Status.Instance
		if progress.State != c.want || (progress.Error != nil) != (c.want == v1beta1.OperationFailed) {
			t.Errorf("%s: %s %+v, want %s", c.why, progress.State, progress.Error, c.want)
		}
		if busy := instanceBusy(object); busy != (c.want == v1beta1.OperationInProgress) {
			t.Errorf("%s: kept from repairs %t", c.why, busy)
		}
	}
}

// A change of the pool through the service wins over a stop that was asked for before it,
// and had not begun; the next stop is one again (G2).
func TestPoolOvertakesAStop(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC))
	up := machine.Observation{State: machine.Running, Incarnation: "1", Boots: 1}
	request := func(operation string, action v1beta1.InstanceAction) *v1beta1.InstanceRequest {
		return &v1beta1.InstanceRequest{Action: action, Operation: operation, Time: at}
	}
	object := &v1beta1.Machine{Spec: v1beta1.MachineSpec{Requested: request("op-1", v1beta1.InstanceDeallocate), Reconciled: "put-1"}}
	object.Status.BootstrapTokenID = "joined"
	noteInstance(object, up, "", at, false)
	status := &object.Status
	if status.Off != nil || status.Instance.State != v1beta1.OperationCanceled || status.Instance.Error == nil || status.BootstrapTokenID != "joined" {
		t.Fatalf("a stop that the pool overtook: %+v, off %+v", status.Instance, status.Off)
	}
	object.Spec.Requested = request("op-2", v1beta1.InstanceDeallocate)
	noteInstance(object, up, "", at, false)
	if status.Off == nil || status.Instance.State != v1beta1.OperationInProgress {
		t.Fatalf("a stop after it: %+v, off %+v", status.Instance, status.Off)
	}
	// Another one before the pool, while it is off: it is started all the same.
	object.Spec.Requested, object.Spec.Reconciled = request("op-3", v1beta1.InstancePowerOff), "put-2"
	noteInstance(object, up, "token", at, false)
	noteInstance(object, up, "token", at, false)
	if status.Off != nil || status.Instance.State != v1beta1.OperationCanceled || status.BootstrapTokenID != "token" {
		t.Errorf("a machine that was off: %+v, off %+v", status.Instance, status.Off)
	}
	// A start takes the pool's along, so that the stop after it is none of the past.
	object.Spec.Requested = request("op-4", v1beta1.InstanceDeallocate)
	noteInstance(object, up, "", at, false)
	object.Spec.Requested, object.Spec.Reconciled = request("op-5", v1beta1.InstanceStart), "put-3"
	noteInstance(object, up, "again", at, false)
	object.Spec.Requested = request("op-6", v1beta1.InstanceDeallocate)
	noteInstance(object, up, "", at, false)
	if status.Off == nil {
		t.Errorf("a stop after a start: %+v", status.Instance)
	}
}
