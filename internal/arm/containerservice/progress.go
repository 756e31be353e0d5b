package containerservice

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// upgradeStatus is how far an upgrade that runs has come. It is Berth's own, below
// `status`, which AKS has for errors of provisioning; it is read-only.
type upgradeStatus struct {
	Upgrade any `json:"upgrade,omitempty"`
	// Waiting says what an upgrade waits for that has not begun, or what keeps nodes from
	// being drained, for people.
	Waiting string `json:"waiting,omitempty"`
}

// controlPlaneProgress is a control plane's upgrade.
type controlPlaneProgress struct {
	From  string               `json:"from"`
	To    string               `json:"to"`
	Phase v1beta1.UpgradePhase `json:"phase"`
	// Message says what the phase waits for, for people.
	Message string `json:"message,omitempty"`
}

// nodesProgress is the replacement of a pool's nodes.
type nodesProgress struct {
	OrchestratorVersion string `json:"orchestratorVersion"`
	NodeImageVersion    string `json:"nodeImageVersion"`
	Nodes               int32  `json:"nodes"`
	Done                int32  `json:"done"`
	Surge               int32  `json:"surge"`
	// Waiting says what it waits for, for people.
	Waiting string `json:"waiting,omitempty"`
}

func clusterProgress(upgrade *v1beta1.ControlPlaneUpgrade) any {
	if upgrade == nil || upgrade.EndTime != nil {
		return nil
	}
	return upgradeStatus{Upgrade: controlPlaneProgress{From: upgrade.From, To: upgrade.To, Phase: upgrade.Phase, Message: upgrade.Message}}
}

func poolProgress(status *v1beta1.AgentPoolStatus) any {
	var shown upgradeStatus
	if upgrade := status.Upgrade; upgrade != nil && upgrade.EndTime == nil {
		shown.Upgrade = nodesProgress{
			OrchestratorVersion: upgrade.OrchestratorVersion, NodeImageVersion: upgrade.NodeImageVersion,
			Nodes: upgrade.Nodes, Done: upgrade.Done, Surge: upgrade.Surge, Waiting: upgrade.Waiting,
		}
	}
	if converged := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionConverged); converged != nil && converged.Status == metav1.ConditionFalse {
		shown.Waiting = converged.Message
	}
	if shown == (upgradeStatus{}) {
		return nil
	}
	return shown
}

// machineProgress says what a machine is doing. It is Berth's own.
func machineProgress(machine *v1beta1.Machine) map[string]any {
	status := map[string]any{"phase": machine.Status.Phase, "kubernetesVersion": machine.Status.KubernetesVersion, "nodeImageVersion": machine.Status.NodeImageVersion}
	if machine.Status.DrainBlocker != "" {
		status["drainBlocker"] = machine.Status.DrainBlocker
	}
	if machine.Spec.Surge {
		status["surge"] = true
	}
	if machine.Spec.Quarantined {
		status["quarantined"] = true
	}
	return status
}
