package machine

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy"
)

// repairSource is what AKS's events of auto-repair come from (D:node-auto-repair).
const repairSource = "aks-auto-repair"

// repairCaller is who repairs, in the activity log.
const repairCaller = "berth/auto-repair"

// repairCodes are AKS's codes for actions that were not carried out
// (T:node-auto-repair-errors): what is made anew was not provisioned, or not elsewhere. Its
// other codes are of Azure's own API, and of what Berth does not have.
var repairCodes = map[v1beta1.RepairAction]string{
	v1beta1.RepairReimage:  "VMExtensionProvisioningError",
	v1beta1.RepairRedeploy: "VMRedeploymentFailed",
}

// repairNews is the event on the Node that a step of a repair means; empty for nothing.
func repairNews(record *v1beta1.MachineRepair, step policy.RepairStep, node, evidenceNamespace string) news {
	if record == nil {
		return news{}
	}
	what := fmt.Sprintf("node %s, attempt %d, because of %s", node, record.Attempt, record.Reason)
	switch step {
	case policy.RepairCarryOn:
		text := fmt.Sprintf("%s of %s (%s)", record.Action, what, record.Message)
		if record.Evidence != "" && record.Action != v1beta1.RepairReboot {
			text += fmt.Sprintf("; evidence is in Secret %s/%s", evidenceNamespace, record.Evidence)
		}
		return news{corev1.EventTypeNormal, "Node" + string(record.Action) + "Start", text}
	case policy.RepairEnd:
		return news{corev1.EventTypeNormal, "Node" + string(record.Action) + "End", fmt.Sprintf("%s of %s was carried out", record.Action, what)}
	case policy.RepairFail:
		text := fmt.Sprintf("%s of %s: %s", record.Action, what, record.ActionError)
		if code, has := repairCodes[record.Action]; has {
			text = code + ": " + text
		}
		return news{corev1.EventTypeWarning, "Node" + string(record.Action) + "Error", text}
	case policy.RepairHold:
		return news{corev1.EventTypeWarning, "NodeRepairHeld", fmt.Sprintf("node %s is ill (%s) and is not repaired: %s", node, record.Reason, record.Held)}
	case policy.RepairGiveUp:
		return news{corev1.EventTypeWarning, "NodeRepairGaveUp", fmt.Sprintf("node %s is still ill (%s: %s) after all that auto-repair does", node, record.Reason, record.Message)}
	}
	return news{}
}

// tellRepair puts the step's event on the Node, once for each action or reason.
func (r *Reconciler) tellRepair(ctx context.Context, s *scene) {
	record := s.object.Status.Repair
	what := repairNews(record, s.repair.Step, s.ref.Name, v1beta1.MachineNamespace(s.ref.ClusterID))
	if what.reason == "" {
		return
	}
	occasion := fmt.Sprint(record.Count, what.reason, record.Held)
	r.log.Record(ctx, activity.Notice{Object: s.object, Occasion: occasion, ActivityNotice: v1beta1.ActivityNotice{
		Reason: what.reason, Message: what.message, Warning: what.kind == corev1.EventTypeWarning,
	}})
	r.emit(ctx, s, repairSource, what, occasion)
}

// repairMetric counts the actions of auto-repair that ended.
func newRepairMetric() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_node_repairs_total", Help: "Actions of auto-repair that ended, by action and result (Done, Failed, GaveUp).",
	}, []string{"action", "result"})
}

// countRepair counts what was written into the status just now.
func (r *Reconciler) countRepair(s *scene) {
	result := map[policy.RepairStep]string{policy.RepairEnd: "Done", policy.RepairFail: "Failed", policy.RepairGiveUp: "GaveUp"}[s.repair.Step]
	if result != "" {
		r.repaired.WithLabelValues(string(s.object.Status.Repair.Action), result).Inc()
	}
}
