package armtest

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// settleInstances does at once what an action on instances asks for.
func (w *World) settleInstances(ctx context.Context, op *v1beta1.Operation) error {
	for _, name := range op.Spec.Instances.Machines {
		var machine v1beta1.Machine
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: name}, &machine)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err != nil {
			continue
		}
		if machine.Annotations[v1beta1.AnnotationOperation] != op.Name {
			return nil // it is not written yet
		}
		if done, err := w.settleInstance(ctx, op, &machine); err != nil || !done {
			return err
		}
	}
	return operation.End(ctx, w.Client, op, v1beta1.OperationSucceeded, nil, w.Now())
}

func (w *World) settleInstance(ctx context.Context, op *v1beta1.Operation, machine *v1beta1.Machine) (bool, error) {
	asked := machine.Spec.Requested
	switch asked.Action {
	case v1beta1.InstanceDelete:
		machine.Finalizers = nil
		if err := w.Client.Update(ctx, machine); err != nil {
			return false, err
		}
		return true, w.Client.Delete(ctx, machine)
	case v1beta1.InstanceRunCommand:
		if done, err := w.echo(ctx, op); err != nil || !done {
			return false, err
		}
	case v1beta1.InstanceStart:
		machine.Status.Off = nil
	}
	if power := policy.InstancePowerAfter(asked.Action); power != "" {
		machine.Status.Off = &v1beta1.InstanceOff{Power: power, Since: metav1.NewTime(w.Now()), RequestedBy: asked.RequestedBy}
	}
	machine.Status.Instance = &v1beta1.InstanceProgress{Operation: op.Name, Action: asked.Action, State: v1beta1.OperationSucceeded}
	return true, w.Client.Status().Update(ctx, machine)
}

// echo is what every script comes to here: itself. It waits for one that is not written yet.
func (w *World) echo(ctx context.Context, op *v1beta1.Operation) (bool, error) {
	var secret corev1.Secret
	if err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: v1beta1.RunCommandSecret(op.Name)}, &secret); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	var command v1beta1.RunCommand
	if err := json.Unmarshal(secret.Data[v1beta1.RunCommandScript], &command); err != nil {
		return false, err
	}
	text, err := json.Marshal(v1beta1.RunCommandOutput{Stdout: fmt.Sprintf("%s %v %v\n", command.Script, command.Arguments, command.Environment)})
	if err != nil {
		return false, err
	}
	secret.Data[v1beta1.RunCommandResult] = text
	return true, w.Client.Update(ctx, &secret)
}
