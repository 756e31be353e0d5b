package autoupgrade

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/maintenance"
)

// The values of AutoUpgradeStatus.lastResult, besides the code and message of an
// operation that failed.
const (
	resultRunning   = "InProgress"
	resultSucceeded = "Succeeded"
)

// retryAfter is how long after a failed run the same is tried again where no
// maintenance configuration says when (AKS: channels act within 24 hours).
const retryAfter = 24 * time.Hour

// observation is all that decisions read.
type observation struct {
	cluster *v1beta1.ManagedCluster
	// pools that are not being deleted, by name.
	pools []v1beta1.AgentPool
	// calendars of the schedules that have a maintenance configuration.
	calendars map[string]*maintenance.Calendar
	// runs are the operations of the run that is under way, by name.
	runs map[string]*v1beta1.Operation
	// busy says what else goes on with the cluster or a pool; empty if nothing does.
	busy string
	// held says why parts may not begin, by their keys: what the gates before an
	// upgrade said of those that were about to.
	held     map[string]string
	work     map[string]work
	interval time.Duration
	now      time.Time
}

// work is what a schedule would do now.
type work struct {
	// target is empty when nothing is due; blocked says why something is not.
	target, blocked string
	// parts are done one after the other.
	parts []part
}

// part is one operation of a run.
type part struct {
	// key tells it from the run's other parts and name tells people which it is.
	key, name string
	spec      v1beta1.OperationSpec
}

// verdict is what becomes of a schedule.
type verdict struct {
	status v1beta1.AutoUpgradeStatus
	// begin is the part to begin once the status is written, or nil.
	begin *part
	// again is when to look again if nothing happens before; zero means never.
	again time.Time
}

// decide takes a schedule one step further: it follows the run that is under way,
// or sees whether one may start.
func decide(o *observation, schedule string) verdict {
	last := o.last(schedule)
	if last.LastResult == resultRunning {
		return follow(o, last, o.work[schedule])
	}
	return plan(o, last, o.work[schedule])
}

// last is what the status says of a schedule.
func (o *observation) last(schedule string) v1beta1.AutoUpgradeStatus {
	for _, one := range o.cluster.Status.AutoUpgrades {
		if one.Schedule == schedule {
			return *one.DeepCopy()
		}
	}
	return v1beta1.AutoUpgradeStatus{Schedule: schedule}
}

// plan starts a run when something is due, a window is open and nothing is in the way.
func plan(o *observation, last v1beta1.AutoUpgradeStatus, todo work) verdict {
	next := last
	next.Target, next.NextRun, next.Skipped = todo.target, nil, todo.blocked
	if todo.target == "" {
		return verdict{status: next}
	}
	window, ok := o.window(last, todo.target)
	if !ok {
		next.Skipped = "no maintenance window opens within five years"
		return verdict{status: next}
	}
	start := metav1.NewTime(window.Start)
	next.NextRun = &start
	if !window.Open(o.now) {
		next.Skipped = missed(last, o.now)
		return verdict{status: next, again: window.Start}
	}
	if reason := o.obstacle(last.Schedule); reason != "" {
		next.Skipped = fmt.Sprintf("the window of %s is open, but %s", window.Start.UTC().Format(time.RFC3339), reason)
		return verdict{status: next, again: window.End}
	}
	first, reason := o.unheld(todo.parts)
	if first == nil {
		next.Skipped = fmt.Sprintf("the window of %s is open, but %s", window.Start.UTC().Format(time.RFC3339), reason)
		return verdict{status: next, again: window.End}
	}
	begun := metav1.NewTime(o.now.Truncate(time.Second))
	next.NextRun, next.LastRun, next.LastTarget, next.LastResult = nil, &begun, todo.target, resultRunning
	return verdict{status: next, begin: first}
}

// unheld is the first of some parts that no gate holds up, or nil, and why the first
// of the others may not begin.
func (o *observation) unheld(parts []part) (first *part, reason string) {
	for i := range parts {
		held := o.held[parts[i].key]
		if held == "" {
			return &parts[i], reason
		}
		if reason == "" {
			reason = held
		}
	}
	return nil, reason
}

// missed keeps why the last window brought nothing, until something runs.
func missed(last v1beta1.AutoUpgradeStatus, now time.Time) string {
	switch {
	case last.Target == "":
		return ""
	case last.Skipped == "" && last.NextRun != nil && last.NextRun.Time.Before(now):
		return fmt.Sprintf("the window of %s passed while Berth did not run", last.NextRun.UTC().Format(time.RFC3339))
	default:
		return strings.Replace(last.Skipped, " is open, but ", " passed: ", 1)
	}
}

// follow watches the run that is under way and begins its next part.
func follow(o *observation, last v1beta1.AutoUpgradeStatus, todo work) verdict {
	last.NextRun, last.Target, last.Skipped = nil, last.LastTarget, ""
	begun := 0
	for _, key := range o.keys(last.Schedule) {
		op := o.runs[operationName(o.cluster, last, key)]
		switch {
		case op == nil:
		case !operation.Finished(op):
			return verdict{status: last}
		case op.Status.Status != v1beta1.OperationSucceeded:
			return o.end(last, resultOf(op))
		default:
			begun++
		}
	}
	left := o.unbegun(last, todo)
	next, held := o.unheld(left)
	switch {
	case len(left) == 0 && begun == 0:
		return o.end(last, "Ended: nothing was left to do")
	case len(left) == 0:
		return o.end(last, resultSucceeded)
	case todo.target != last.LastTarget && begun == len(o.keys(last.Schedule)):
		return o.end(last, resultSucceeded)
	case todo.target != last.LastTarget:
		return o.end(last, "Superseded by "+todo.target)
	case next == nil:
		return o.end(last, fmt.Sprintf("Incomplete: %s may not be upgraded: %s", left[0].name, held))
	case !o.stillOpen(last):
		return o.end(last, fmt.Sprintf("Incomplete: the window closed before %s began", next.name))
	}
	if reason := o.obstacle(last.Schedule); reason != "" {
		last.Skipped = fmt.Sprintf("%s waits: %s", next.name, reason)
		return verdict{status: last}
	}
	return verdict{status: last, begin: next}
}

// unbegun are the parts of a run that have no operation yet.
func (o *observation) unbegun(last v1beta1.AutoUpgradeStatus, todo work) []part {
	var left []part
	for _, one := range todo.parts {
		if o.runs[operationName(o.cluster, last, one.key)] == nil {
			left = append(left, one)
		}
	}
	return left
}

// end writes a run's result; what comes next is decided right after.
func (o *observation) end(last v1beta1.AutoUpgradeStatus, result string) verdict {
	last.LastResult, last.Target = result, ""
	return verdict{status: last, again: o.now}
}

func resultOf(op *v1beta1.Operation) string {
	if op.Status.Error == nil {
		return string(op.Status.Status)
	}
	return fmt.Sprintf("%s: %s: %s", op.Status.Status, op.Status.Error.Code, op.Status.Error.Message)
}

// obstacle says why nothing may start now, or "". A cluster or a pool that failed is none:
// the run asks for everything again, which is what mends it if anything does, and node
// images come to nodes whose control plane could not be upgraded (E2; AKS: issue 4600,
// the reconciler of automatic upgrades).
func (o *observation) obstacle(schedule string) string {
	status := &o.cluster.Status
	switch {
	case status.PowerState.Code == v1beta1.PowerStopped:
		return "the cluster is stopped"
	case !status.ProvisioningState.Terminal():
		return "the cluster is " + string(status.ProvisioningState)
	case !status.Initialized:
		return "the cluster has never run"
	case status.Upgrade.UnderWay():
		return fmt.Sprintf("the control plane is between Kubernetes %s and %s", status.Upgrade.From, status.Upgrade.To)
	case o.busy != "":
		return o.busy
	}
	for i := range o.pools {
		if state := o.pools[i].Status.ProvisioningState; !state.Terminal() {
			return fmt.Sprintf("node pool %s is %s", o.pools[i].Spec.Name, state)
		}
	}
	for _, other := range status.AutoUpgrades {
		if other.Schedule != schedule && other.LastResult == resultRunning && o.last(schedule).LastResult != resultRunning {
			return "the run of " + other.Schedule + " is under way"
		}
	}
	return ""
}
