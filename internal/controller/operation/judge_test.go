package operation

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func TestJudge(t *testing.T) {
	done := target{exists: true, held: true, settled: true, state: v1beta1.StateSucceeded}
	running := target{exists: true, held: true, settled: true, state: v1beta1.StateCreating}
	stale := done
	stale.settled = false
	failed := target{exists: true, held: true, settled: true, state: v1beta1.StateFailed, cause: &v1beta1.OperationError{Code: "NodesNotReady"}}
	rolling := target{exists: true, held: true, settled: true, state: v1beta1.StateUpgrading}
	leaving := target{exists: true, deleting: true}
	for _, c := range []struct {
		action  v1beta1.InstanceAction
		why     string
		kind    v1beta1.OperationType
		targets []target
		late    bool
		want    v1beta1.OperationStatusCode
		code    string
	}{
		{why: "all true", kind: v1beta1.OperationPut, targets: []target{done, done}, want: v1beta1.OperationSucceeded},
		{why: "one on its way", kind: v1beta1.OperationPut, targets: []target{done, running}, want: v1beta1.OperationInProgress},
		{why: "a status of an older spec says nothing", kind: v1beta1.OperationPut, targets: []target{stale}, want: v1beta1.OperationInProgress},
		{why: "one failure fails all, with its words", kind: v1beta1.OperationPut, targets: []target{running, failed}, want: v1beta1.OperationFailed, code: "NodesNotReady"},
		{why: "deleted by kubectl", kind: v1beta1.OperationPut, targets: []target{leaving}, want: v1beta1.OperationCanceled, code: "OperationPreempted"},
		{why: "gone", kind: v1beta1.OperationPut, targets: []target{{}}, want: v1beta1.OperationCanceled, code: "OperationPreempted"},
		{why: "another operation took it", kind: v1beta1.OperationPut, targets: []target{{exists: true, settled: true, state: v1beta1.StateSucceeded}}, want: v1beta1.OperationCanceled, code: "OperationPreempted"},
		{why: "a put is given up", kind: v1beta1.OperationPut, targets: []target{running}, late: true, want: v1beta1.OperationFailed, code: "OperationTimeout"},
		{why: "aborted", kind: v1beta1.OperationPut, targets: []target{done, {exists: true, held: true, aborted: true, state: v1beta1.StateUpgrading}}, want: v1beta1.OperationCanceled, code: "OperationPreempted"},
		{why: "an upgrade takes what it takes", kind: v1beta1.OperationPut, targets: []target{done, rolling}, late: true, want: v1beta1.OperationInProgress},
		{why: "success is success however late", kind: v1beta1.OperationPut, targets: []target{done}, late: true, want: v1beta1.OperationSucceeded},
		{why: "delete under way", kind: v1beta1.OperationDelete, targets: []target{leaving}, want: v1beta1.OperationInProgress},
		{why: "a delete is not given up", kind: v1beta1.OperationDelete, targets: []target{leaving}, late: true, want: v1beta1.OperationInProgress},
		{why: "deleted", kind: v1beta1.OperationDelete, targets: []target{{}}, want: v1beta1.OperationSucceeded},
		{why: "a machine that was restarted", kind: v1beta1.OperationInstances, action: v1beta1.InstanceRestart, targets: []target{done, done}, want: v1beta1.OperationSucceeded},
		{why: "one that has not begun", kind: v1beta1.OperationInstances, action: v1beta1.InstanceRestart, targets: []target{done, stale}, want: v1beta1.OperationInProgress},
		{why: "one that is gone meanwhile", kind: v1beta1.OperationInstances, action: v1beta1.InstanceRestart, targets: []target{{}}, want: v1beta1.OperationCanceled, code: "OperationPreempted"},
		{why: "a start is given up", kind: v1beta1.OperationInstances, action: v1beta1.InstanceStart, targets: []target{running}, late: true, want: v1beta1.OperationFailed, code: "OperationTimeout"},
		{why: "a deleted machine", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{}}, want: v1beta1.OperationSucceeded},
		{why: "one that is going", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{exists: true, held: true, deleting: true}}, late: true, want: v1beta1.OperationInProgress},
		{why: "one that is asked to go", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{exists: true, held: true}}, want: v1beta1.OperationInProgress},
		{why: "one that another delete holds by now", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{exists: true}}, want: v1beta1.OperationInProgress},
		{why: "one that went already when it was asked for", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{exists: true, held: true}, leaving}, want: v1beta1.OperationInProgress},
		{why: "all that went already", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{leaving, leaving}, want: v1beta1.OperationInProgress},
		{why: "a machine made since is not the one", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{exists: true, later: true}}, want: v1beta1.OperationSucceeded},
		{why: "nor is one made since that goes", kind: v1beta1.OperationInstances, action: v1beta1.InstanceDelete, targets: []target{{exists: true, later: true, deleting: true}}, want: v1beta1.OperationSucceeded},
		{why: "a restart that a delete preempts", kind: v1beta1.OperationInstances, action: v1beta1.InstanceRestart, targets: []target{leaving}, want: v1beta1.OperationCanceled, code: "OperationPreempted"},
		{why: "one that does not say what of which machines", kind: v1beta1.OperationInstances, want: v1beta1.OperationFailed, code: "BadRequest"},
		{why: "a namesake made since is not the target", kind: v1beta1.OperationDelete, targets: []target{done}, want: v1beta1.OperationSucceeded},
	} {
		op := &v1beta1.Operation{Spec: v1beta1.OperationSpec{Type: c.kind}}
		if c.action != "" {
			op.Spec.Instances = &v1beta1.InstancesOperation{Action: c.action}
		}
		got := judge(op, c.targets, c.late)
		code := ""
		if got.cause != nil {
			code = got.cause.Code
		}
		if got.code != c.want || code != c.code {
			t.Errorf("%s: %s %q, want %s %q", c.why, got.code, code, c.want, c.code)
		}
	}
}

func TestClaimed(t *testing.T) {
	for _, c := range []struct {
		why     string
		kind    v1beta1.OperationType
		targets []target
		want    bool
	}{
		{"every target carries it", v1beta1.OperationPut, []target{{exists: true, held: true}}, true},
		{"a server died between cluster and pool", v1beta1.OperationPut, []target{{exists: true, held: true}, {}}, false},
		{"held by nobody yet", v1beta1.OperationPut, []target{{exists: true}}, false},
		{"a delete of what is gone", v1beta1.OperationDelete, []target{{}}, true},
		{"a delete not asked for yet", v1beta1.OperationDelete, []target{{exists: true, held: true}}, false},
		{"a delete under way", v1beta1.OperationDelete, []target{{exists: true, deleting: true}}, true},
		{"a machine that is not asked yet", v1beta1.OperationInstances, []target{{exists: true}}, false},
		{"a machine that goes already", v1beta1.OperationInstances, []target{{exists: true, deleting: true}}, true},
		{"a machine made since is never asked", v1beta1.OperationInstances, []target{{exists: true, later: true}}, true},
	} {
		op := &v1beta1.Operation{Spec: v1beta1.OperationSpec{Type: c.kind}}
		if got := claimed(op, c.targets); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

// A namesake is told by its time; an operation that names no machines looks at none.
func TestInstancesAreSeen(t *testing.T) {
	asked := time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	op := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(asked)},
		Spec:       v1beta1.OperationSpec{Type: v1beta1.OperationInstances, Target: v1beta1.OperationTarget{Kind: v1beta1.TargetScaleSet}},
	}
	for after, want := range map[time.Duration]bool{-time.Hour: false, 0: false, time.Second: true} {
		machine := &v1beta1.Machine{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(asked.Add(after))}}
		if got := describe(op, machine); got.later != want {
			t.Errorf("made %s after the operation: later %t", after, got.later)
		}
	}
	if objects := objectsOf(op); len(objects) != 0 || !bounded(op) {
		t.Errorf("%v", objects)
	}
}

// An operation that is given up says what its targets wait for.
func TestTimeoutSaysWhatItWaitsFor(t *testing.T) {
	op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op-1"}, Spec: v1beta1.OperationSpec{Type: v1beta1.OperationPut}}
	pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{Name: "rg1.c1.np1", Generation: 2, Annotations: map[string]string{v1beta1.AnnotationOperation: "op-1"}}}
	pool.Status = v1beta1.AgentPoolStatus{
		ObservedGeneration: 2, ObservedOperation: "op-1", ProvisioningState: v1beta1.StateStopping,
		Conditions: []metav1.Condition{{Type: v1beta1.ConditionConverged, Status: metav1.ConditionFalse, Message: "node n1 drains: pod default/web"}},
	}
	got := judge(op, []target{describe(op, pool)}, true)
	if got.cause == nil || got.cause.Code != "OperationTimeout" || !strings.HasSuffix(got.cause.Message, "rg1.c1.np1: node n1 drains: pod default/web") {
		t.Errorf("%+v", got.cause)
	}
}
