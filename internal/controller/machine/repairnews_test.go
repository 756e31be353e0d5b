package machine

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// What fails has AKS's code where it has one (T:node-auto-repair-errors).
func TestFailedRepairsHaveCodes(t *testing.T) {
	for action, code := range map[v1beta1.RepairAction]string{
		v1beta1.RepairReboot: "", v1beta1.RepairReimage: "VMExtensionProvisioningError: ", v1beta1.RepairRedeploy: "VMRedeploymentFailed: ",
	} {
		told := repairNews(&v1beta1.MachineRepair{Action: action, Attempt: 1, Reason: "NodeNotReady", ActionError: "it was not done"}, policy.RepairFail, "n", "mc")
		want := news{corev1.EventTypeWarning, "Node" + string(action) + "Error", code + string(action) + " of node n, attempt 1, because of NodeNotReady: it was not done"}
		if told != want {
			t.Errorf("%s: %+v, want %+v", action, told, want)
		}
	}
}
