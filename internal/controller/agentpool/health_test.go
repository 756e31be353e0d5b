package agentpool

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func TestNodesHealthy(t *testing.T) {
	sick := func(repairs ...*v1beta1.MachineRepair) view {
		v := view{pool: &v1beta1.AgentPool{}, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
		for i, repair := range repairs {
			m := v1beta1.Machine{Spec: v1beta1.MachineSpec{NodeName: "n" + string(rune('0'+i))}}
			m.Status.Repair = repair
			v.machines = append(v.machines, m)
		}
		return v
	}
	stage := func(stage v1beta1.RepairStage) *v1beta1.MachineRepair {
		return &v1beta1.MachineRepair{Stage: stage, Reason: "NodeNotReady", Action: v1beta1.RepairReboot, Attempt: 1}
	}
	held := stage(v1beta1.RepairUnhealthy)
	held.Held = "too many"
	for _, c := range []struct {
		why          string
		view         view
		reason, text string
	}{
		{"no node", sick(), "AllHealthy", ""},
		{"one that was repaired once is well", sick(nil, stage("")), "AllHealthy", ""},
		{"ill, and not for long", sick(nil, stage(v1beta1.RepairUnhealthy)), "NodesUnhealthy", "n1 NodeNotReady"},
		{"under repair", sick(stage(v1beta1.RepairActing)), "Repairing", "n0 NodeNotReady, Reboot, attempt 1"},
		{"held", sick(stage(v1beta1.RepairUnhealthy), held), "RepairHeld", "n1 NodeNotReady, not repaired: too many"},
		{"given up", sick(held, stage(v1beta1.RepairGaveUp)), "RepairGaveUp", "n1 NodeNotReady, given up"},
		{"many", sick(held, held, held, held, held), "RepairHeld", "; and 2 more"},
	} {
		status := v1beta1.AgentPoolStatus{}
		setNodesHealthy(&status, c.view)
		got := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionNodesHealthy)
		if got == nil || got.Reason != c.reason || !strings.Contains(got.Message, c.text) || (got.Status == metav1.ConditionTrue) != (c.reason == "AllHealthy") {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
}
