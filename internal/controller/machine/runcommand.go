package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/operation"
)

const (
	// runTimeout bounds a script (Azure gives it 90 minutes), and runLimit what is kept of
	// each of its outputs, as Azure has it.
	runTimeout = 10 * time.Minute
	runLimit   = 4096
	// scriptWithin is how long the server that took a request may take to write the script.
	scriptWithin = 30 * time.Second
	// settleTries is how often a machine is asked what a script changed whose end nobody saw.
	settleTries = 6
	// namedFiles is how many changed files are written down.
	namedFiles = 10
)

// Commander runs the scripts that machines are asked to run through the IaaS view (G1).
// A script is run once: one whose end nobody saw is not run again.
type Commander struct {
	client client.Client
	reader client.Reader
	Config
}

// NewCommander returns a Commander that writes with c and reads with reader, which must
// not be a cache.
func NewCommander(c client.Client, reader client.Reader, config Config) *Commander {
	return &Commander{client: c, reader: reader, Config: config.withDefaults()}
}

// Reconcile runs a machine's script and waits for its end.
func (c *Commander) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &v1beta1.Machine{}
	if err := c.reader.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	asked, progress := object.Spec.Requested, object.Status.Instance
	if asked == nil || asked.Action != v1beta1.InstanceRunCommand || !object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if progress != nil && progress.Operation == asked.Operation {
		if progress.State != v1beta1.OperationInProgress {
			return ctrl.Result{}, nil
		}
		// It was begun by a process that is gone.
		return ctrl.Result{}, c.settle(ctx, object, failed("RunCommandInterrupted",
			"nobody saw the end of the script, or could write it down: it may have been run, wholly or in part"))
	}
	if over, err := c.over(ctx, object); over || err != nil {
		return ctrl.Result{}, err
	}
	secret, wait, err := c.script(ctx, object)
	if err != nil || wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, err
	}
	if secret == nil {
		return ctrl.Result{}, c.end(ctx, object, nil, failed("RunCommandLost", "the script was lost before it ran; run it again"))
	}
	return c.run(ctx, object, secret)
}

func failed(code, message string) *v1beta1.OperationError {
	return &v1beta1.OperationError{Code: code, Message: message}
}

// over says whether the operation that asks has ended before its script ran: whoever
// asked was told that it failed, and the script is not run any more.
func (c *Commander) over(ctx context.Context, object *v1beta1.Machine) (bool, error) {
	op := &v1beta1.Operation{}
	err := c.reader.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Spec.Requested.Operation}, op)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read the operation of machine %s: %w", object.Name, err)
	}
	if err == nil && !operation.Finished(op) {
		return false, nil
	}
	return true, c.end(ctx, object, nil, failed("RunCommandOver", "the operation ended before the script ran; it was not run"))
}

// script reads the script, or says how long to wait for it: the operation is written first.
func (c *Commander) script(ctx context.Context, object *v1beta1.Machine) (*corev1.Secret, time.Duration, error) {
	secret := &corev1.Secret{}
	asked := object.Spec.Requested
	err := c.reader.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: v1beta1.RunCommandSecret(asked.Operation)}, secret)
	switch {
	case err == nil:
		return secret, 0, nil
	case !apierrors.IsNotFound(err):
		return nil, 0, fmt.Errorf("read the script of machine %s: %w", object.Name, err)
	case c.Now().Sub(asked.Time.Time) < scriptWithin:
		return nil, instanceAgain, nil
	}
	return nil, 0, nil
}

// run notes that the script runs, runs it, and writes down what came of it.
func (c *Commander) run(ctx context.Context, object *v1beta1.Machine, secret *corev1.Secret) (ctrl.Result, error) {
	ref := machine.Ref{ClusterID: object.Spec.ClusterID, Name: object.Spec.NodeName}
	seen, err := c.Provider.Observe(ctx, ref)
	if err != nil {
		return ctrl.Result{}, err
	}
	asked := object.Spec.Requested
	object.Status.Instance = &v1beta1.InstanceProgress{
		Operation: asked.Operation, Action: asked.Action, State: v1beta1.OperationInProgress, Incarnation: seen.Incarnation, Boots: seen.Boots, Host: seen.Host,
		Reached: c.reached(ctx, object),
	}
	if err := c.client.Status().Update(ctx, object); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: 50 * time.Millisecond}, nil
		}
		return ctrl.Result{}, fmt.Errorf("note the script of machine %s: %w", object.Name, err)
	}
	var command v1beta1.RunCommand
	if err := json.Unmarshal(secret.Data[v1beta1.RunCommandScript], &command); err != nil {
		return ctrl.Result{}, c.end(ctx, object, nil, failed("RunCommandLost", "the script cannot be read; run it again"))
	}
	result, err := c.Provider.Run(ctx, ref, machine.Command{
		Script: command.Script, Arguments: command.Arguments, Environment: command.Environment, Timeout: runTimeout, Limit: runLimit, Name: asked.Operation,
	})
	if err != nil {
		return ctrl.Result{}, c.settle(ctx, object, failed("RunCommandFailed", "the script could not be run to its end: "+err.Error()))
	}
	if result.NotRun != "" {
		// Nothing began, so that there is nothing to settle: that would wait as long again, and again.
		return ctrl.Result{}, c.end(ctx, object, nil, failed("Conflict", "the script was not run: "+result.NotRun+
			". Run it again when that has ended, of which the events NodePatched and NodePatchFailed of the node tell"))
	}
	if err := c.keep(ctx, secret, result); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, c.end(ctx, object, c.evidence(ctx, object, result), nil)
}

// settle ends a script whose end nobody saw, with the files that it changed: the machine
// kept how they were before.
func (c *Commander) settle(ctx context.Context, object *v1beta1.Machine, failure *v1beta1.OperationError) error {
	ref := machine.Ref{ClusterID: object.Spec.ClusterID, Name: object.Spec.NodeName}
	began := object.Status.Instance
	for try := 1; ; try++ {
		seen, err := c.Provider.Observe(ctx, ref)
		if err != nil {
			return err
		}
		if seen.State != machine.Running || seen.Incarnation != began.Incarnation || seen.Boots != began.Boots {
			// What it changed is gone, with the machine or with its start.
			return c.end(ctx, object, nil, failure)
		}
		result, err := c.Provider.Run(ctx, ref, machine.Command{Name: object.Spec.Requested.Operation, Settle: true, Timeout: runTimeout, Limit: runLimit})
		if err == nil {
			return c.end(ctx, object, c.evidence(ctx, object, result), failure)
		}
		if try == settleTries {
			return c.end(ctx, object, nil, failure)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.SettleAgain):
		}
	}
}

// keep writes down what a script came to, for whoever asked, in the place of the script,
// which nobody needs any more and may hold secrets.
func (c *Commander) keep(ctx context.Context, secret *corev1.Secret, result machine.Result) error {
	text, err := json.Marshal(v1beta1.RunCommandOutput{ExitCode: result.ExitCode, Stdout: result.Stdout, Stderr: result.Stderr})
	if err != nil {
		return fmt.Errorf("write what came of a script: %w", err)
	}
	secret.Data = map[string][]byte{v1beta1.RunCommandResult: text}
	if err := c.client.Update(ctx, secret); err != nil {
		return fmt.Errorf("write what came of a script: %w", err)
	}
	return nil
}

// end writes how a script ended, and the files that it changed, beside those that
// earlier ones changed in the same file system. A machine that was asked for something
// else meanwhile keeps that one's progress, and the files count all the same.
func (c *Commander) end(ctx context.Context, object *v1beta1.Machine, files *v1beta1.ChangedFiles, failure *v1beta1.OperationError) error {
	asked := *object.Spec.Requested
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := c.reader.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		status, asks := &object.Status, object.Spec.Requested
		if files != nil {
			status.ChangedFiles = addFiles(status.ChangedFiles, files)
		}
		if asks == nil || asks.Operation != asked.Operation {
			if files == nil {
				return nil
			}
			return c.client.Status().Update(ctx, object)
		}
		if status.Instance == nil || status.Instance.Operation != asked.Operation {
			status.Instance = &v1beta1.InstanceProgress{Operation: asked.Operation, Action: asked.Action}
		}
		status.Instance.State, status.Instance.Error = v1beta1.OperationSucceeded, failure
		if failure != nil {
			status.Instance.State = v1beta1.OperationFailed
		}
		return c.client.Status().Update(ctx, object)
	})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("report the script of machine %s: %w", object.Name, err)
	}
	return nil
}

// evidence are the files of the image that a script changed, nil if there are none. Where
// a customer's pod reaches into the node, or did before, or nobody can tell, the files may be its work:
// that is allowed (G5), and nothing is held against anybody.
func (c *Commander) evidence(ctx context.Context, object *v1beta1.Machine, result machine.Result) *v1beta1.ChangedFiles {
	progress, asked := object.Status.Instance, object.Spec.Requested
	if result.ChangedCount == 0 || len(result.Changed) == 0 || progress.Reached || c.reached(ctx, object) {
		return nil
	}
	return &v1beta1.ChangedFiles{
		Time: metav1.NewTime(c.Now().Truncate(time.Second)), RequestedBy: asked.RequestedBy, Paths: result.Changed[:min(len(result.Changed), namedFiles)],
		Count: result.ChangedCount, Incarnation: progress.Incarnation, Boots: progress.Boots,
	}
}

// reached says whether a pod of the customer's reaches into the node, or nobody can tell.
// It is asked before a script, which is written down, and after it: such a pod may come or go
// meanwhile.
func (c *Commander) reached(ctx context.Context, object *v1beta1.Machine) bool {
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	tenant, err := c.Tenants.Client(ctx, object.Spec.ClusterID)
	if err != nil {
		return true
	}
	var pods corev1.PodList
	if err := tenant.List(ctx, &pods, client.MatchingFields{"spec.nodeName": object.Spec.NodeName}); err != nil {
		return true
	}
	return slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return !addon.Managed(&pod) && reaches(&pod.Spec) })
}

// addFiles adds changed files to those of the same file system. The first to change them
// stays named.
func addFiles(have, more *v1beta1.ChangedFiles) *v1beta1.ChangedFiles {
	if have == nil || have.Incarnation != more.Incarnation || have.Boots != more.Boots {
		return more
	}
	sum := have.DeepCopy()
	sum.Count += more.Count
	sum.Paths = append(sum.Paths, more.Paths...)
	slices.Sort(sum.Paths)
	sum.Paths = slices.Compact(sum.Paths)
	sum.Paths = sum.Paths[:min(len(sum.Paths), namedFiles)]
	return sum
}
