package agentpool

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// CodeNodesNotReady is the error code of a pool whose nodes were not ready in time.
const CodeNodesNotReady = "NodesNotReady"

// maxNamed is how many machines an error names.
const maxNamed = 3

// view is all that a pool's status depends on.
type view struct {
	pool *v1beta1.AgentPool
	// off: the pool or its whole cluster is to be stopped.
	off      bool
	machines []v1beta1.Machine
	template v1beta1.MachineSpec
	// goal is what all nodes shall be made of and stage how far that is.
	goal  versions
	stage stage
	// rollout are the steps of a running upgrade, and waiting what one that has not
	// begun waits for.
	rollout rolloutPlan
	waiting string
	// failure is why the pool can never become what is asked for.
	failure *v1beta1.OperationError
	timeout time.Duration
	now     time.Time
}

// nextStatus is the pool's status from its last one and what is seen now.
func nextStatus(v view) v1beta1.AgentPoolStatus {
	status := *v.pool.Status.DeepCopy()
	status.Count, status.ReadyCount = int32(len(v.machines)), readyCount(v.machines)
	setNodesHealthy(&status, v)
	noteUpgrade(&status, v)
	upgrades := v.upgrades(&status)
	converged := v.failure == nil && !upgrades && v.stage != stageHalted && v.rollout.failure == nil && len(lagging(v)) == 0
	since := setConverged(&status, v, converged)
	if status.CurrentOrchestratorVersion == "" {
		status.CurrentOrchestratorVersion, status.NodeImageVersion = v.template.KubernetesVersion, v.template.NodeImageVersion
		status.UnmanagedOS = v.template.UnmanagedOS
	}
	settled := !newAttempt(v.pool) && status.ProvisioningState == v1beta1.StateSucceeded && status.PowerState.Code == v.power()
	status.ObservedGeneration, status.ObservedOperation = v.pool.Generation, v.pool.Annotations[v1beta1.AnnotationOperation]
	if v.stage != stageHalted {
		status.Error = nil
	}
	switch {
	case overridden(&status, v):
	case upgrades:
		status.ProvisioningState = upgrading(v)
	case converged:
		status.ProvisioningState, status.PowerState.Code = v1beta1.StateSucceeded, v.power()
		status.CurrentOrchestratorVersion = v.template.KubernetesVersion
		status.NodeImageVersion, status.UnmanagedOS = oldestImage(v), v.template.UnmanagedOS
		if v.off {
			// Nothing has a name any more, so names begin anew with the start.
			status.NextOrdinal = 0
		}
	case settled:
		// A node that fails later is not the failure of the operation that made it.
	case v.now.Sub(since) >= v.timeout:
		status.ProvisioningState, status.Error = v1beta1.StateFailed, timedOut(v)
	default:
		status.ProvisioningState = progress(v)
	}
	return status
}

// upgrades says whether nodes are being replaced, or wait for it.
func (v view) upgrades(status *v1beta1.AgentPoolStatus) bool {
	return v.stage == stageWaiting || v.stage == stageRolling && status.Upgrade.EndTime == nil
}

// overridden sets the state of a pool whose nodes do not decide it: one that is
// deleted, that can never become what is asked for, or whose upgrade was given up.
func overridden(status *v1beta1.AgentPoolStatus, v view) bool {
	failure := cmp.Or(v.failure, v.rollout.failure)
	switch {
	case !v.pool.DeletionTimestamp.IsZero():
		status.ProvisioningState = v1beta1.StateDeleting
	case failure != nil:
		status.ProvisioningState, status.Error = v1beta1.StateFailed, failure
	case v.stage != stageHalted:
		return false
	case !status.ProvisioningState.Terminal():
		status.ProvisioningState, status.Error = v1beta1.StateCanceled, abortedUpgrade(v.pool)
	}
	return true
}

// waitsFor is what an upgrade waits for that has not begun, as a sentence, or else what
// keeps nodes from being drained.
func (v view) waitsFor() string {
	if v.waiting != "" {
		return "the upgrade waits for " + v.waiting
	}
	return strings.Join(heldDrains(v.machines), "; ")
}

// heldDrains says of the first nodes that cannot be drained what keeps them.
func heldDrains(machines []v1beta1.Machine) []string {
	var held []string
	for i := range machines {
		m := &machines[i]
		drains := m.Status.Phase == v1beta1.MachineDraining || m.Status.Phase == v1beta1.MachineBlocked
		if drains && m.Status.DrainBlocker != "" && len(held) < maxNamed {
			held = append(held, fmt.Sprintf("node %s drains: %s", m.Spec.NodeName, m.Status.DrainBlocker))
		}
	}
	return held
}

// newAttempt says whether the pool is asked for something else than its status
// describes, or for the same once more.
func newAttempt(pool *v1beta1.AgentPool) bool {
	return pool.Status.ObservedGeneration != pool.Generation ||
		pool.Status.ObservedOperation != pool.Annotations[v1beta1.AnnotationOperation]
}

// setConverged returns since when the pool has been on its way to what is asked for.
func setConverged(status *v1beta1.AgentPoolStatus, v view, converged bool) time.Time {
	condition := metav1.Condition{
		Message: v.waitsFor(),
		Type:    v1beta1.ConditionConverged, Status: metav1.ConditionTrue, Reason: "AsSpecified",
		ObservedGeneration: v.pool.Generation, LastTransitionTime: metav1.NewTime(v.now),
	}
	if !converged {
		condition.Status, condition.Reason = metav1.ConditionFalse, "Converging"
	}
	for i, old := range status.Conditions {
		if old.Type != condition.Type {
			continue
		}
		if old.Status == condition.Status && !newAttempt(v.pool) {
			condition.LastTransitionTime = old.LastTransitionTime
		}
		status.Conditions[i] = condition
		return condition.LastTransitionTime.Time
	}
	status.Conditions = append(status.Conditions, condition)
	return v.now
}

// progress names what is going on (azure-wire: provisioningState).
func progress(v view) v1beta1.ProvisioningState {
	switch {
	case v.pool.Status.PowerState.Code == "":
		return v1beta1.StateCreating
	case v.off:
		return v1beta1.StateStopping
	case v.pool.Status.PowerState.Code == v1beta1.PowerStopped:
		return v1beta1.StateStarting
	case int32(len(v.machines)) != v.wantedCount(), readyCount(v.machines) != v.wantedCount():
		return v1beta1.StateScaling
	default:
		return v1beta1.StateUpdating
	}
}

// lagging says of each machine too many, too few or not as specified why it is.
func lagging(v view) []string {
	if v.template.ClusterID == "" {
		return []string{"the control plane has no address"}
	}
	var all []string
	alive := 0
	for i := range v.machines {
		m := &v.machines[i]
		if !m.DeletionTimestamp.IsZero() {
			all = append(all, describe(m, "leaving"))
			continue
		}
		alive++
		switch {
		case m.Status.Phase != v1beta1.MachineReady:
			all = append(all, describe(m, string(m.Status.Phase)))
		case m.Annotations[machine.AnnotationSettled] != strconv.FormatInt(m.Generation, 10):
			all = append(all, describe(m, "not labelled"))
		case specVersions(m) != madeVersions(m) && m.Status.KubernetesVersion != "":
			all = append(all, describe(m, "version "+m.Status.KubernetesVersion))
		}
	}
	if want := int(v.wantedCount()); alive != want {
		all = append(all, fmt.Sprintf("%d machines of %d", alive, want))
	}
	if !MakePlan(v.wantedCount(), 0, v.template, v.machines).Empty() && len(all) == 0 {
		all = append(all, "labels or taints are not those of the pool")
	}
	return all
}

func describe(m *v1beta1.Machine, what string) string {
	if m.Status.Message != "" {
		what += " (" + m.Status.Message + ")"
	}
	return m.Spec.NodeName + " " + what
}

func timedOut(v view) *v1beta1.OperationError {
	all := lagging(v)
	named := strings.Join(all[:min(maxNamed, len(all))], "; ")
	return &v1beta1.OperationError{
		Code:    CodeNodesNotReady,
		Message: fmt.Sprintf("Agent pool %s was not ready within %s: %s", v.pool.Spec.Name, v.timeout, named),
		Target:  v.pool.Spec.Name,
	}
}

func readyCount(machines []v1beta1.Machine) int32 {
	var ready int32
	for _, m := range machines {
		if m.Status.Phase == v1beta1.MachineReady {
			ready++
		}
	}
	return ready
}

// oldestImage is the oldest node image of the pool's nodes; the one of its next node if it
// has none.
func oldestImage(v view) string {
	if len(v.machines) == 0 {
		return v.template.NodeImageVersion
	}
	oldest := v.machines[0].Spec.NodeImageVersion
	for _, m := range v.machines {
		if release.CompareNodeImages(m.Spec.NodeImageVersion, oldest) < 0 {
			oldest = m.Spec.NodeImageVersion
		}
	}
	return oldest
}

// version is what new machines of a pool run. A pool stays on the version that it
// has until another is asked for: neither a new patch of "1.36" nor a newer
// control plane moves it.
func version(catalogue *release.Catalogue, pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster) (string, *v1beta1.OperationError) {
	asked, has := pool.Spec.OrchestratorVersion, pool.Status.CurrentOrchestratorVersion
	if upgrade := runningUpgrade(pool); upgrade != nil && asked == release.Minor(upgrade.OrchestratorVersion) {
		return upgrade.OrchestratorVersion, nil
	}
	controlPlane := cluster.Status.CurrentKubernetesVersion
	if controlPlane == "" {
		resolved, _ := catalogue.Resolve(cluster.Spec.KubernetesVersion)
		controlPlane = resolved.Version
	}
	wanted, ok := policy.Versions{Catalogue: catalogue}.PoolTarget(asked, has, controlPlane)
	if !ok {
		return "", &v1beta1.OperationError{
			Code:    "K8sVersionNotSupported",
			Message: fmt.Sprintf("Agent pool %s is on version %s which is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region", pool.Spec.Name, asked),
			Target:  "properties.orchestratorVersion",
		}
	}
	return wanted, nil
}
