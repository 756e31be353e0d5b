package activity

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

// EntryOf is the name of an Operation's entry.
func EntryOf(op *v1beta1.Operation) string {
	if op.Spec.RequestID != "" {
		return op.Spec.RequestID
	}
	return op.Name
}

// Follow has the entry of an Operation say how it stands. An Operation without one, since
// Berth asked for it by itself or the request's entry could not be written, gets one. It
// returns false if it is to be called again, as what it read was too old.
func (l Log) Follow(ctx context.Context, op *v1beta1.Operation) (bool, error) {
	var entry v1beta1.ActivityLogEntry
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: EntryOf(op)}, &entry)
	if apierrors.IsNotFound(err) {
		entry = ofOperation(op)
		made, err := l.create(ctx, &entry)
		if err != nil || !made {
			return false, err
		}
	} else if err != nil {
		return false, fmt.Errorf("read entry %s of the activity log: %w", EntryOf(op), err)
	}
	if !operation.Finished(op) || entry.Status.End != nil {
		return true, nil
	}
	before := entry.DeepCopy()
	entry.Status.End = &v1beta1.ActivityResult{Code: codes[op.Status.Status], Error: boundedError(op.Status.Error)}
	if op.Status.EndTime != nil {
		entry.Status.End.Time = metav1.NewMicroTime(op.Status.EndTime.Time)
	}
	// What was answered is told first: times of Operations have no fraction of a second.
	if answer := entry.Status.Answer; answer != nil && entry.Status.End.Time.Before(&answer.Time) {
		entry.Status.End.Time = answer.Time
	} else if entry.Status.End.Time.Before(&entry.Spec.Time) {
		entry.Status.End.Time = entry.Spec.Time
	}
	if err := l.Client.Status().Patch(ctx, &entry, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("end entry %s of the activity log: %w", entry.Name, err)
	}
	return true, nil
}

var codes = map[v1beta1.OperationStatusCode]v1beta1.ActivityCode{
	v1beta1.OperationSucceeded: v1beta1.ActivitySucceeded,
	v1beta1.OperationFailed:    v1beta1.ActivityFailed,
	v1beta1.OperationCanceled:  v1beta1.ActivityCanceled,
}

// actions are the provisioning states of Operations that ARM has a POST for.
var actions = map[v1beta1.ProvisioningState]string{
	v1beta1.StateStarting:           "start/action",
	v1beta1.StateStopping:           "stop/action",
	v1beta1.StateUpgradingNodeImage: "upgradeNodeImageVersion/action",
}

func ofOperation(op *v1beta1.Operation) v1beta1.ActivityLogEntry {
	verb := "write"
	if action := actions[op.Spec.State]; action != "" {
		verb = action
	}
	switch op.Spec.Type {
	case v1beta1.OperationDelete:
		verb = "delete"
	case v1beta1.OperationAbort:
		verb = "abort/action"
	}
	if op.Spec.Instances != nil && op.Spec.Type == v1beta1.OperationInstances {
		verb = instanceVerb(op.Spec.Instances.Action)
	}
	caller := op.Spec.RequestedBy
	if caller == "" {
		caller = "berth"
	}
	correlation := op.Spec.CorrelationID
	if correlation == "" {
		correlation = op.Name
	}
	spec := v1beta1.ActivitySpec{
		Time: metav1.NewMicroTime(op.CreationTimestamp.Time), Operation: TypeOf(op.Spec.Target.ResourceID) + "/" + verb,
		ResourceID: op.Spec.Target.ResourceID, Caller: caller, CorrelationID: correlation,
	}
	if op.Spec.RequestID != "" {
		// Somebody asked for it: it takes no room of what Berth did by itself.
		spec.Request = &v1beta1.ActivityRequest{}
	}
	return v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Namespace: op.Namespace, Name: EntryOf(op)}, Spec: bounded(spec)}
}

// instanceVerb is the end of Microsoft.Compute's own names of operations.
func instanceVerb(action v1beta1.InstanceAction) string {
	if action == v1beta1.InstanceDelete {
		return "delete"
	}
	name := string(action)
	return strings.ToLower(name[:min(1, len(name))]) + name[min(1, len(name)):] + "/action"
}

// groupType is the type of a resource group.
const groupType = "Microsoft.Resources/subscriptions/resourceGroups"

// TypeOf is the type of what an ARM id names, such as
// Microsoft.ContainerService/managedClusters/agentPools; of a provider it is the namespace.
func TypeOf(id string) string {
	segments := strings.Split(strings.Trim(id, "/"), "/")
	at := -1
	for i := 0; i+1 < len(segments); i += 2 {
		if strings.EqualFold(segments[i], "providers") {
			at = i
		}
	}
	switch {
	case at < 0 && len(segments) >= 4:
		return groupType
	case at < 0:
		return "Microsoft.Resources/subscriptions"
	}
	kind := segments[at+1]
	for i := at + 2; i < len(segments); i += 2 {
		kind += "/" + segments[i]
	}
	return kind
}
