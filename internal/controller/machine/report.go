package machine

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// report writes the status, if it changed, and tells the node's owner.
func (r *Reconciler) report(ctx context.Context, s *scene, decision Decision, out outcome) error {
	before := s.object.Status.DeepCopy()
	before.Repair = s.repairedBefore
	nextStatus(s, decision, out, metav1.NewTime(r.Now()))
	if equality.Semantic.DeepEqual(before, &s.object.Status) {
		return nil
	}
	if before.Phase != s.object.Status.Phase || before.DrainBlocker == "" && s.object.Status.DrainBlocker != "" {
		r.tell(ctx, s, before)
	}
	if s.repair.Step != policy.RepairCarryOn && !equality.Semantic.DeepEqual(s.repairedBefore, s.object.Status.Repair) {
		r.tellRepair(ctx, s)
	}
	if err := client.IgnoreNotFound(r.client.Status().Update(ctx, s.object)); err != nil {
		return fmt.Errorf("report machine %s: %w", s.object.Name, err)
	}
	r.countRepair(s)
	return nil
}

// nextStatus changes the object's status to what was seen and decided.
func nextStatus(s *scene, decision Decision, out outcome, now metav1.Time) {
	status := &s.object.Status
	status.Phase, status.Message = decision.Phase, out.message
	if decision.Phase != v1beta1.MachineReady {
		status.ReadySince = nil
	} else if status.ReadySince == nil {
		status.ReadySince = &now
	}
	if status.FirstReady == nil {
		status.FirstReady = status.ReadySince
	}
	// The next incarnation has another address, and a certificate for the old one
	// must not be approved.
	if files := status.ChangedFiles; files != nil && (files.Incarnation != s.seen.Incarnation || files.Boots != s.seen.Boots) {
		status.ChangedFiles = nil
	}
	if s.seen.State == machine.Absent {
		status.Address = ""
	} else if s.seen.Address != "" {
		status.Address = s.seen.Address
	}
	if s.situation.Intent == Keep || s.situation.Intent == Repair || s.situation.Intent == Off {
		endDrain(status)
	} else {
		noteDrain(status, decision.Step, out, now)
	}
}

// endDrain forgets a drain that is over or was called off. When it ended stays
// known until the machine carries its node again.
func endDrain(status *v1beta1.MachineStatus) {
	status.DrainStarted, status.DrainBlocker = nil, ""
	if status.Phase == v1beta1.MachineReady {
		status.DrainEnded = nil
	}
}

func noteDrain(status *v1beta1.MachineStatus, step Step, out outcome, now metav1.Time) {
	switch status.Phase {
	case v1beta1.MachineDraining:
		if status.DrainStarted == nil {
			status.DrainStarted = &now
		}
		status.DrainEnded = nil
		if step == StepEvict {
			status.DrainBlocker = out.blocker
		}
	case v1beta1.MachineSoaking, v1beta1.MachineReimaged:
		if status.DrainEnded == nil {
			status.DrainEnded = &now
		}
		status.DrainBlocker = ""
	}
}
