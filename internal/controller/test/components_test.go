package test

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
)

// refuses is what the customer's policy says.
const refuses = "kube-proxy stays as it is"

// An upgrade whose components the cluster does not let in says why, comes to an end,
// is tried again when somebody asks, and is complete as soon as they are let in.
func TestUpgradeWhoseComponentsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	create := w.createOperation("op-create")
	create.Spec.Desired.Cluster.KubernetesVersion, create.Spec.Desired.AgentPools[0].OrchestratorVersion = oldVersion, oldVersion
	w.request(create)
	w.succeed("op-create")
	relent := w.refuse()

	upgrade := func(name string) *v1beta1.Operation {
		op := w.versionOperation(name, newVersion)
		op.Spec.Desired.AgentPools = []v1beta1.AgentPoolSpec{poolSpec(1)}
		op.Spec.Desired.AgentPools[0].OrchestratorVersion = newVersion
		return op
	}
	for _, name := range []string{"op-upgrade", "op-again"} {
		w.upgradeTimeout(5 * time.Minute)
		w.request(upgrade(name))
		w.eventually("the upgrade says what refuses its components", func() bool {
			up := w.cluster().Status.Upgrade
			return up != nil && up.Operation == name && up.Phase == v1beta1.UpgradeComponents && saysWhy(up.Message)
		})
		w.upgradeTimeout(time.Second)
		op := w.finish(name)
		if op.Status.Status != v1beta1.OperationFailed || op.Status.Error.Code != "UpgradeFailed" || !saysWhy(op.Status.Error.Message) {
			t.Fatalf("%s: %+v\n%s", name, op.Status.Error, w.dump())
		}
		w.eventually("the pool is left alone", func() bool {
			pool, cluster := w.pool().Status, w.cluster().Status
			return pool.ProvisioningState == v1beta1.StateFailed && pool.CurrentOrchestratorVersion == oldVersion &&
				cluster.ProvisioningState == v1beta1.StateFailed && cluster.CurrentKubernetesVersion == newVersion && cluster.Upgrade.Phase == v1beta1.UpgradeIncomplete
		})
	}

	// A stop does not wait for them, and a start that meets the refusal again says so.
	w.powerOff()
	w.request(w.powerOperation("op-start", v1beta1.PowerRunning, v1beta1.StateStarting))
	if op := w.finish("op-start"); op.Status.Status != v1beta1.OperationFailed || !saysWhy(op.Status.Error.Message) {
		t.Errorf("op-start: %+v\n%s", op.Status.Error, w.dump())
	}

	relent()
	w.eventually("the upgrade is complete by itself", func() bool {
		up := w.cluster().Status.Upgrade
		return up.Phase == v1beta1.UpgradeSucceeded && up.Message == ""
	})
	w.checkVersion(newVersion, v1beta1.UpgradeSucceeded)
	w.upgradeTimeout(5 * time.Minute)
	pools := w.scaleOperation("op-pool", 1)
	pools.Spec.State, pools.Spec.Desired.AgentPools[0].OrchestratorVersion = v1beta1.StateUpgrading, newVersion
	w.request(pools)
	w.succeed("op-pool")
	w.eventually("the cluster runs", func() bool {
		status := w.cluster().Status
		return status.ProvisioningState == v1beta1.StateSucceeded && status.PowerState.Code == v1beta1.PowerRunning
	})
	w.checkNodes(newVersion, catalogue().NodeImageVersion, w.nodeNames())
	w.delete()
	w.checkGone()
}

func saysWhy(text string) bool {
	return strings.Contains(text, addon.ProxyKey().Name) && strings.Contains(text, refuses)
}

// refuse has the managed cluster let no change of kube-proxy in, until the function
// that it returns is called.
func (w *world) refuse() func() {
	w.t.Helper()
	meta, fail := metav1.ObjectMeta{Name: "test-refuses"}, admissionv1.Fail
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"*"}, Resources: []string{"daemonsets"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "object.metadata.name != '" + addon.ProxyKey().Name + "'", Message: refuses}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	relent := func() {
		for _, object := range []client.Object{binding, policy} {
			if err := w.client.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
				w.t.Error(err)
			}
		}
	}
	w.t.Cleanup(relent)
	for _, object := range []client.Object{policy, binding} {
		if err := w.client.Create(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
	w.eventually("the policy holds", func() bool {
		var proxy appsv1.DaemonSet
		if err := w.platform.Get(w.t.Context(), addon.ProxyKey(), &proxy); err != nil {
			return false
		}
		proxy.Annotations = map[string]string{"test/try": "this"}
		err := w.platform.Update(w.t.Context(), &proxy, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), refuses)
	})
	return relent
}
