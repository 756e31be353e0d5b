package compute

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// commandID is the one of Azure's run commands that there is.
const commandID = "RunShellScript"

// maxScript bounds a script with its parameters, in bytes.
const maxScript = 64 << 10

// runBody is Azure's RunCommandInput.
type runBody struct {
	CommandID  string         `json:"commandId"`
	Script     []string       `json:"script"`
	Parameters []runParameter `json:"parameters"`
}

type runParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var (
	// variable is a parameter that a script gets as a variable of its environment, and
	// positional is what az calls one that has no name.
	variable   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	positional = regexp.MustCompile(`^arg[0-9]+$`)
)

// runCommand runs a script in an instance.
func (p provider) runCommand(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body runBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	command, err := body.command()
	if err != nil {
		return nil, err
	}
	set, one, err := p.requireInstance(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := set.refuseDeleting(); err != nil {
		return nil, err
	}
	op, err := p.begin(ctx, r, set, v1beta1.InstanceRunCommand, []instance{one})
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(command)
	if err != nil {
		return nil, fmt.Errorf("write script: %w", err)
	}
	// A script may hold secrets, so that it is one; it goes with its operation.
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: op.Namespace, Name: v1beta1.RunCommandSecret(op.Name),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(op, v1beta1.GroupVersion.WithKind("Operation"))},
		},
		Data: map[string][]byte{v1beta1.RunCommandScript: content},
	}
	if err := p.Client.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("keep the script of operation %s: %w", op.Name, err)
	}
	return p.Accepted(set.operations(r), op, http.StatusAccepted, nil), nil
}

// command checks a body. Parameters are variables of the script's environment, those of
// az without a name its arguments.
func (b runBody) command() (v1beta1.RunCommand, error) {
	var command v1beta1.RunCommand
	if !strings.EqualFold(b.CommandID, commandID) {
		return command, arm.InvalidParameter("commandId", "The value of parameter commandId is invalid. It must be '%s'.", commandID)
	}
	command.Script = strings.Join(b.Script, "\n")
	if strings.TrimSpace(command.Script) == "" {
		return command, arm.InvalidParameter("script", "The value of parameter script is invalid: it has no lines.")
	}
	if strings.ContainsRune(command.Script, 0) {
		return command, arm.InvalidParameter("script", "The value of parameter script is invalid: a script cannot hold the character 0.")
	}
	size := len(command.Script)
	for _, parameter := range b.Parameters {
		size += len(parameter.Name) + len(parameter.Value)
		switch {
		case positional.MatchString(parameter.Name):
			command.Arguments = append(command.Arguments, parameter.Value)
		case variable.MatchString(parameter.Name):
			command.Environment = append(command.Environment, parameter.Name+"="+parameter.Value)
		default:
			return command, arm.InvalidParameter("parameters", "The value of parameter parameters is invalid: a name has letters, digits and underscores, and no digit at its start.")
		}
		if strings.ContainsRune(parameter.Value, 0) {
			return command, arm.InvalidParameter("parameters", "The value of parameter parameters is invalid: a value cannot hold the character 0.")
		}
	}
	if size > maxScript {
		return command, arm.InvalidParameter("script", "The value of parameter script is invalid: it has %d bytes with its parameters, at most %d are allowed.", size, maxScript)
	}
	return command, nil
}

// operationResult answers a poll of Location: what came of a script, or nothing.
func (p provider) operationResult(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	op, err := p.Operation(ctx, r)
	if err != nil {
		return nil, err
	}
	runs := op.Spec.Instances != nil && op.Spec.Instances.Action == v1beta1.InstanceRunCommand
	if !runs || op.Status.Status != v1beta1.OperationSucceeded {
		return p.OperationResult(ctx, r)
	}
	var secret corev1.Secret
	if err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: v1beta1.RunCommandSecret(op.Name)}, &secret); err != nil {
		return nil, fmt.Errorf("read what came of operation %s: %w", op.Name, err)
	}
	var output v1beta1.RunCommandOutput
	if err := json.Unmarshal(secret.Data[v1beta1.RunCommandResult], &output); err != nil {
		return nil, fmt.Errorf("read what came of operation %s: %w", op.Name, err)
	}
	return arm.OK(map[string]any{"value": []any{renderOutput(output)}})
}

// renderOutput is what Azure's agent says of a script.
func renderOutput(output v1beta1.RunCommandOutput) map[string]any {
	message := "Enable succeeded: "
	if output.ExitCode != 0 {
		message = fmt.Sprintf("Enable failed: failed to execute command: command terminated with exit status=%d", output.ExitCode)
	}
	shown := status("ProvisioningState/succeeded", "Provisioning succeeded")
	shown["message"] = message + "\n[stdout]\n" + output.Stdout + "\n[stderr]\n" + output.Stderr
	return shown
}
