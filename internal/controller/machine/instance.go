package machine

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

const (
	// annotationShutdown on a Node says that the taint of a node that is off is the service's.
	annotationShutdown = "berth.dev/shutdown"
	// instanceAgain is how soon to look whether an action has come to its end.
	instanceAgain = time.Second
)

// underWay is the action of the IaaS view that a machine is at, or nil. A script that
// runs in it leaves it as it is.
func underWay(object *v1beta1.Machine) *v1beta1.InstanceProgress {
	progress := object.Status.Instance
	if progress == nil || progress.State != v1beta1.OperationInProgress || progress.Action == v1beta1.InstanceRunCommand {
		return nil
	}
	return progress
}

// replaces says whether an action makes the machine anew and has yet to remove it.
func replaces(progress *v1beta1.InstanceProgress) bool {
	return progress != nil && !progress.Replaced && (progress.Action == v1beta1.InstanceReimage || progress.Action == v1beta1.InstanceRedeploy)
}

// instanceBusy says that the customer is at work on the machine, which is not repaired meanwhile.
func instanceBusy(object *v1beta1.Machine) bool {
	return object.Status.Off != nil || underWay(object) != nil
}

// take writes down what is asked for through the IaaS view before it is done, and that
// it was done. It says whether it wrote.
func (r *Reconciler) take(ctx context.Context, s *scene) (bool, error) {
	if s.situation.Intent == Discard || s.situation.Intent == Drain {
		return false, nil
	}
	var token string
	if s.object.Status.Off != nil {
		var err error
		if token, err = randomText(r.Random, tokenIDLength); err != nil {
			return false, err
		}
	}
	var late bool
	if underWay(s.object) != nil {
		service, err := r.servicePolicy(ctx)
		if err != nil {
			return false, err
		}
		late = r.Now().After(instanceDeadline(s.object, service.Spec.CreateTimeout))
	}
	before := s.object.Status.DeepCopy()
	noteInstance(s.object, s.seen, token, metav1.NewTime(r.Now()), late)
	if equality.Semantic.DeepEqual(before, &s.object.Status) {
		return false, nil
	}
	if err := r.client.Status().Update(ctx, s.object); err != nil {
		return false, fmt.Errorf("note what machine %s is asked for: %w", s.object.Name, err)
	}
	return true, nil
}

// noteInstance changes the status to what comes next of an action. A token is for a
// machine that is started: its next incarnation joins with one of its own. An action that
// does not show in time has failed, so that the service looks after the machine again.
func noteInstance(object *v1beta1.Machine, seen machine.Observation, token string, now metav1.Time, late bool) {
	status, asked := &object.Status, object.Spec.Requested
	switch {
	case asked != nil && carriedOutHere(asked.Action) && (status.Instance == nil || status.Instance.Operation != asked.Operation):
		if policy.StopsSoon(object) && object.Spec.Reconciled != status.Reconciled {
			outrun(object)
			return
		}
		beginInstance(object, seen, token, now)
	case status.Off != nil && object.Spec.Reconciled != status.Reconciled:
		// The pool was changed through the service: what was done behind it is over (G2).
		status.Off, status.Reconciled, status.BootstrapTokenID, status.Address = nil, object.Spec.Reconciled, token, ""
		cancelInstance(status)
	case underWay(object) != nil && shows(status.Instance, seen):
		status.Instance.State = v1beta1.OperationSucceeded
	case underWay(object) != nil && late:
		status.Instance.State = v1beta1.OperationFailed
		status.Instance.Error = &v1beta1.OperationError{Code: "OperationTimeout", Message: "the machine did not show in time what was asked of it"}
	}
}

// instanceDeadline is when an action ends that never shows: with its operation, which is
// given up after the policy's time for creates and a little more.
func instanceDeadline(object *v1beta1.Machine, timeout *metav1.Duration) time.Time {
	asked := object.Spec.Requested
	if asked == nil {
		return time.Time{}
	}
	return asked.Time.Add(policy.OperationTimeout(timeout))
}

// carriedOutHere leaves out what the pool does, and what runs in the machine.
func carriedOutHere(action v1beta1.InstanceAction) bool {
	return action != v1beta1.InstanceDelete && action != v1beta1.InstanceRunCommand
}

func beginInstance(object *v1beta1.Machine, seen machine.Observation, token string, now metav1.Time) {
	status, asked := &object.Status, object.Spec.Requested
	progress := &v1beta1.InstanceProgress{
		Operation: asked.Operation, Action: asked.Action, State: v1beta1.OperationInProgress,
		Incarnation: seen.Incarnation, Boots: seen.Boots, Host: seen.Host,
	}
	status.Instance = progress
	if violations := policy.ValidateInstance(asked.Action, object.Spec.NodeName, status.Off); len(violations) > 0 {
		progress.State, progress.Error = v1beta1.OperationFailed, &v1beta1.OperationError{Code: violations[0].Code, Message: violations[0].Message}
		return
	}
	switch power := policy.InstancePowerAfter(asked.Action); {
	case power != "":
		since := now
		if status.Off != nil {
			since = status.Off.Since
		}
		status.Off = &v1beta1.InstanceOff{Power: power, Since: since, RequestedBy: asked.RequestedBy}
		status.Reconciled = object.Spec.Reconciled
	case asked.Action == v1beta1.InstanceStart && status.Off != nil:
		status.Off, status.Reconciled, status.BootstrapTokenID, status.Address = nil, object.Spec.Reconciled, token, ""
	}
}

// outrun ends a stop before it begins: the pool was changed through the service after it
// was asked for. A machine that is off already is started next.
func outrun(object *v1beta1.Machine) {
	status, asked := &object.Status, object.Spec.Requested
	status.Instance = &v1beta1.InstanceProgress{Operation: asked.Operation, Action: asked.Action, State: v1beta1.OperationInProgress}
	cancelInstance(status)
	if status.Off == nil {
		status.Reconciled = object.Spec.Reconciled
	}
}

// cancelInstance ends an action that was overtaken by what the service does.
func cancelInstance(status *v1beta1.MachineStatus) {
	if progress := status.Instance; progress != nil && progress.State == v1beta1.OperationInProgress {
		progress.State = v1beta1.OperationCanceled
		progress.Error = &v1beta1.OperationError{Code: "OperationPreempted", Message: "The operation was preempted by a change of the agent pool through the service."}
	}
}

// shows says whether the machine shows the action.
func shows(progress *v1beta1.InstanceProgress, seen machine.Observation) bool {
	another := seen.Incarnation != progress.Incarnation
	switch progress.Action {
	case v1beta1.InstanceDeallocate, v1beta1.InstancePowerOff:
		return seen.State == machine.Absent
	case v1beta1.InstanceRestart:
		return seen.State == machine.Running && (another || seen.Boots > progress.Boots)
	case v1beta1.InstanceReimage, v1beta1.InstanceRedeploy:
		return seen.State == machine.Running && another && progress.Replaced
	default:
		return seen.State == machine.Running
	}
}

// restart starts the machine again with its disks. One that is not there comes by itself.
func (r *Reconciler) restart(ctx context.Context, s *scene) error {
	progress := underWay(s.object)
	if progress == nil || progress.Action != v1beta1.InstanceRestart || s.seen.Incarnation != progress.Incarnation || s.seen.State == machine.Absent {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	return r.Provider.Reboot(ctx, s.ref, machine.Observation{Incarnation: progress.Incarnation, Boots: progress.Boots})
}

// rest has the Node of a machine that is off say so, as Azure's cloud provider does, and
// takes the token away with which the machine joined.
func (r *Reconciler) rest(ctx context.Context, s *scene, out *outcome) error {
	if s.tenant == nil {
		out.again = noTenantAgain
		return nil
	}
	if err := r.retireToken(ctx, s, out); err != nil {
		return err
	}
	if s.node == nil {
		return nil
	}
	if err := s.disownNode(ctx, "MachineOff", "the machine was stopped through the IaaS view"); err != nil {
		return err
	}
	before := s.node.DeepCopy()
	if policy.ShutDown(s.node) {
		return nil
	}
	s.node.Spec.Taints = append(s.node.Spec.Taints, corev1.Taint{Key: policy.TaintShutdown, Effect: corev1.TaintEffectNoSchedule})
	metav1.SetMetaDataAnnotation(&s.node.ObjectMeta, annotationShutdown, "true")
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.tenant.Patch(ctx, s.node, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("mark node %s as shut down: %w", s.ref.Name, err)
	}
	return nil
}

// wake takes the service's own mark of a machine that is off away.
func wake(node *corev1.Node) {
	if _, mine := node.Annotations[annotationShutdown]; !mine {
		return
	}
	delete(node.Annotations, annotationShutdown)
	kept := node.Spec.Taints[:0:0]
	for _, taint := range node.Spec.Taints {
		if taint.Key != policy.TaintShutdown {
			kept = append(kept, taint)
		}
	}
	node.Spec.Taints = kept
}
