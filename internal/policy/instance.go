package policy

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// instanceRule says what an action of the IaaS view needs and leaves (G1).
type instanceRule struct {
	action v1beta1.InstanceAction
	// whileOff says that it may be asked for of a machine that is off.
	whileOff bool
	// power is what the machine is afterwards; empty for a machine that runs, or is gone.
	power v1beta1.InstancePower
	why   string
}

// instanceRules has every action.
var instanceRules = []instanceRule{
	{v1beta1.InstanceStart, true, "", "a machine that runs is left as it is"},
	{v1beta1.InstanceDeallocate, true, v1beta1.InstanceDeallocated, "a machine that is off can be let go of"},
	{v1beta1.InstancePowerOff, true, v1beta1.InstanceStopped, "as Deallocate: no machine is kept for what is off"},
	{v1beta1.InstanceRestart, false, "", "there is nothing to start again"},
	{v1beta1.InstanceReimage, false, "", "a machine that is off is started from its image anyway"},
	{v1beta1.InstanceRedeploy, false, "", "a machine that is off is on no host"},
	{v1beta1.InstanceDelete, true, "", "what is off can be deleted"},
	{v1beta1.InstanceRunCommand, false, "", "a script needs a machine that runs"},
}

// InstanceActions lists every action.
func InstanceActions() []v1beta1.InstanceAction {
	all := make([]v1beta1.InstanceAction, 0, len(instanceRules))
	for _, rule := range instanceRules {
		all = append(all, rule.action)
	}
	return all
}

func ruleOf(action v1beta1.InstanceAction) (instanceRule, bool) {
	at := slices.IndexFunc(instanceRules, func(r instanceRule) bool { return r.action == action })
	if at < 0 {
		return instanceRule{}, false
	}
	return instanceRules[at], true
}

// ValidateInstance returns the reasons why an action may not be asked for of a machine,
// which is off unless off is nil. The node is named in them.
func ValidateInstance(action v1beta1.InstanceAction, node string, off *v1beta1.InstanceOff) []Violation {
	var out violations
	rule, known := ruleOf(action)
	switch {
	case !known:
		out.add(CodeInvalidParameter, "action", "The value of parameter action is invalid: there is no action '%s' on instances", action)
	case off != nil && !rule.whileOff:
		out.add(CodeOperationNotAllowed, "", "Operation '%s' is not allowed on VM '%s': the operation requires the VM to be running, and it is %s. Start it first", action, node, off.Power)
	}
	return out
}

// InstancePowerAfter is what a machine is after an action that stops it, empty for any other.
func InstancePowerAfter(action v1beta1.InstanceAction) v1beta1.InstancePower {
	rule, _ := ruleOf(action)
	return rule.power
}

// StopsSoon says whether a machine was asked to stop through the IaaS view and has not begun.
func StopsSoon(m *v1beta1.Machine) bool {
	asked, begun := m.Spec.Requested, m.Status.Instance
	return asked != nil && InstancePowerAfter(asked.Action) != "" && (begun == nil || begun.Operation != asked.Operation)
}

// NodeGroupReadOnly says whether a cluster's node resource group is read-only for the
// customer (AKS: node-resource-group-lockdown).
func NodeGroupReadOnly(cluster v1beta1.ManagedClusterSpec) bool {
	return cluster.NodeResourceGroupProfile != nil && cluster.NodeResourceGroupProfile.RestrictionLevel == v1beta1.RestrictionReadOnly
}

// validateNodeGroupProfile refuses levels that AKS does not have.
func validateNodeGroupProfile(out *violations, profile *v1beta1.NodeResourceGroupProfile) {
	if profile == nil {
		return
	}
	switch profile.RestrictionLevel {
	case "", v1beta1.RestrictionReadOnly, v1beta1.RestrictionUnrestricted:
	default:
		out.add(CodeInvalidParameter, "nodeResourceGroupProfile.restrictionLevel",
			"The value of parameter nodeResourceGroupProfile.restrictionLevel is invalid: it is ReadOnly or Unrestricted, not %q", profile.RestrictionLevel)
	}
}

// ShutDown says whether a node says that its machine is off.
func ShutDown(node *corev1.Node) bool { return tainted(node, TaintShutdown) }

const (
	defaultOperationTimeout = 30 * time.Minute
	// operationSlack lets a target that gives up at the same time tell why.
	operationSlack = time.Minute
)

// OperationTimeout is how long an operation may take before it is given up, by
// ServicePolicy.spec.createTimeout: AKS's 30 minutes where that is nil, and a minute more.
func OperationTimeout(createTimeout *metav1.Duration) time.Duration {
	if createTimeout == nil {
		return defaultOperationTimeout + operationSlack
	}
	return createTimeout.Duration + operationSlack
}

// defaultDrainTimeout is AKS's (upgrade-options), where ServicePolicy has none.
const defaultDrainTimeout = 30 * time.Minute

// PutTimeout is OperationTimeout for a Put that is shown as a state while it runs. Nodes
// that it takes away may drain for ServicePolicy.spec.drainTimeout on top.
func PutTimeout(service v1beta1.ServicePolicySpec, state v1beta1.ProvisioningState) time.Duration {
	timeout := OperationTimeout(service.CreateTimeout)
	switch state {
	case v1beta1.StateStopping, v1beta1.StateScaling, v1beta1.StateRotatingCertificates:
		return timeout + durationOr(service.DrainTimeout, defaultDrainTimeout)
	default:
		return timeout
	}
}
