package agentpool

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// The reasons of the condition NodesHealthy, the gravest last.
var healthReasons = []string{"AllHealthy", "NodesUnhealthy", "Repairing", "RepairHeld", "RepairGaveUp"}

// nodeHealth is how grave a machine's illness is, an index of healthReasons, and what
// is said of it.
func nodeHealth(m *v1beta1.Machine) (grave int, text string) {
	repair := m.Status.Repair
	if repair == nil || repair.Stage == "" || !m.DeletionTimestamp.IsZero() {
		return 0, ""
	}
	text = m.Spec.NodeName + " " + repair.Reason
	switch {
	case repair.Held != "":
		return 3, text + ", not repaired: " + repair.Held
	case repair.Stage == v1beta1.RepairGaveUp:
		return 4, text + ", given up"
	case repair.Stage == v1beta1.RepairUnhealthy:
		return 1, text
	default:
		return 2, fmt.Sprintf("%s, %s, attempt %d", text, repair.Action, repair.Attempt)
	}
}

// setNodesHealthy sums up what ails the pool's nodes and what is done about it (E4).
func setNodesHealthy(status *v1beta1.AgentPoolStatus, v view) {
	gravest := 0
	var ill []string
	for i := range v.machines {
		grave, text := nodeHealth(&v.machines[i])
		gravest = max(gravest, grave)
		if grave > 0 {
			ill = append(ill, text)
		}
	}
	condition := metav1.Condition{
		Type: v1beta1.ConditionNodesHealthy, Status: metav1.ConditionTrue, Reason: healthReasons[gravest],
		ObservedGeneration: v.pool.Generation, LastTransitionTime: metav1.NewTime(v.now),
	}
	if gravest > 0 {
		condition.Status = metav1.ConditionFalse
		condition.Message = strings.Join(ill[:min(maxNamed, len(ill))], "; ")
	}
	if more := len(ill) - maxNamed; more > 0 {
		condition.Message += fmt.Sprintf("; and %d more", more)
	}
	meta.SetStatusCondition(&status.Conditions, condition)
}
