package policy

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// Every action is in the table once, and what it leaves and needs fits together.
func TestInstanceActions(t *testing.T) {
	off := &v1beta1.InstanceOff{Power: v1beta1.InstanceDeallocated}
	seen := map[v1beta1.InstanceAction]bool{}
	for _, rule := range instanceRules {
		if seen[rule.action] || rule.why == "" {
			t.Errorf("%s is there twice, or does not say why", rule.action)
		}
		seen[rule.action] = true
		if refused := ValidateInstance(rule.action, "n1", nil); len(refused) > 0 {
			t.Errorf("%s of a machine that runs: %v", rule.action, refused)
		}
		refused := ValidateInstance(rule.action, "n1", off)
		if (len(refused) == 0) != rule.whileOff {
			t.Errorf("%s of a machine that is off: %v", rule.action, refused)
		}
		if len(refused) > 0 && (refused[0].Code != CodeOperationNotAllowed || !strings.Contains(refused[0].Message, "'n1'") || !strings.Contains(refused[0].Message, "Deallocated")) {
			t.Errorf("%s: the refusal does not say what is wrong, and where: %v", rule.action, refused)
		}
		if rule.power != "" && !rule.whileOff {
			t.Errorf("%s cannot be repeated", rule.action)
		}
	}
	for _, c := range []struct {
		why    string
		action v1beta1.InstanceAction
		want   v1beta1.InstancePower
	}{
		{"deallocated is what Azure calls it", v1beta1.InstanceDeallocate, v1beta1.InstanceDeallocated},
		{"stopped is another word", v1beta1.InstancePowerOff, v1beta1.InstanceStopped},
		{"a machine that restarts runs", v1beta1.InstanceRestart, ""},
		{"one that is deleted is nothing", v1beta1.InstanceDelete, ""},
		{"no such action", "Explode", ""},
	} {
		if got := InstancePowerAfter(c.action); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	if refused := ValidateInstance("Explode", "n1", nil); len(refused) != 1 || refused[0].Code != CodeInvalidParameter {
		t.Errorf("an unknown action: %v", refused)
	}
	if len(InstanceActions()) != len(instanceRules) {
		t.Errorf("actions: %v", InstanceActions())
	}
}

// Customers' own tags never count, in whatever casing; the system's count until they are
// as they were (B4).
func TestChangedTags(t *testing.T) {
	system := map[string]string{"aks-managed-poolName": "np", "aks-managed-resourceNameSuffix": "12345678"}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, part := range []map[string]string{system, more} {
			for name, value := range part {
				all[name] = value
			}
		}
		return all
	}
	for _, c := range []struct {
		why  string
		have map[string]string
		want string
	}{
		{"as the system made them", system, ""},
		{"with tags of one's own", with(map[string]string{"team": "blue", "aks-managed-poolName-of-mine": "x"}), ""},
		{"names have no case", map[string]string{"AKS-Managed-PoolName": "np", "aks-managed-resourceNameSuffix": "12345678"}, ""},
		{"values have", with(map[string]string{"aks-managed-poolName": "NP"}), "aks-managed-poolName"},
		{"one is gone", map[string]string{"aks-managed-poolName": "np"}, "aks-managed-resourceNameSuffix"},
		{"the system's own counts, not one in another casing", with(map[string]string{"AKS-MANAGED-POOLNAME": "x", "aks-managed-poolname": "x"}), ""},
		{"all are gone", nil, "aks-managed-poolName aks-managed-resourceNameSuffix"},
	} {
		if got := strings.Join(ChangedTags(c.have, system), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// What was changed of a scale set lasts until its pool is changed through the service (G2).
func TestScaleSetTags(t *testing.T) {
	pool := &v1beta1.AgentPool{}
	pool.Generation, pool.Spec.Tags = 3, map[string]string{"team": "blue"}
	pool.Annotations = map[string]string{v1beta1.AnnotationOperation: "op1"}
	system := ScaleSetSystemTags("np", "aks-np-12345678-vmss")
	if system[TagNameSuffix] != "12345678" || system[TagPoolName] != "np" {
		t.Errorf("the system's: %v", system)
	}
	shouting := pool.DeepCopy()
	shouting.Spec.Tags["AKS-MANAGED-POOLNAME"] = "other"
	if got := ScaleSetTags(shouting, system, nil); len(got) != 3 || len(ChangedTags(got, system)) > 0 {
		t.Errorf("a tag of the pool that is one of the system's but for its case: %v", got)
	}
	if got := ScaleSetTags(pool, system, nil); len(got) != 3 || got["team"] != "blue" {
		t.Errorf("nothing was changed: %v", got)
	}
	set := &v1beta1.VirtualMachineScaleSet{Spec: v1beta1.VirtualMachineScaleSetSpec{Tags: map[string]string{"a": "b"}, PoolOperation: PoolAttempt(pool)}}
	if got := ScaleSetTags(pool, system, set); len(got) != 1 || got["a"] != "b" {
		t.Errorf("changed: %v", got)
	}
	pool.Spec.Tags = map[string]string{"AKS-managed-POOLNAME": "mine", "team": "blue"}
	// A map has no order, and would tell one thing now and another then.
	for range 20 {
		if got := ScaleSetTags(pool, system, nil); len(got) != 3 || len(ChangedTags(got, system)) > 0 {
			t.Fatalf("a tag of the pool's is named as one of the system's: %v", got)
		}
	}
	pool.Annotations[v1beta1.AnnotationOperation] = "op2"
	if got := ScaleSetTags(pool, system, set); len(got) != 3 {
		t.Errorf("changed before the pool was: %v", got)
	}
}

// Who made the system's tags other than they were stays named while they are; somebody who
// then sets a tag of their own is not to blame (B4).
func TestWhoChanged(t *testing.T) {
	system := map[string]string{"aks-managed-poolName": "np"}
	first, later := v1beta1.TagsChanged{Time: metav1.Unix(1, 0), By: "first"}, v1beta1.TagsChanged{Time: metav1.Unix(2, 0), By: "later"}
	for _, c := range []struct {
		why     string
		earlier v1beta1.TagsChanged
		before  map[string]string
		want    string
	}{
		{"the system's are as it made them", first, map[string]string{"AKS-managed-poolName": "np", "team": "blue"}, "later"},
		{"one is gone", first, map[string]string{"team": "blue"}, "first"},
		{"one has another value", first, map[string]string{"aks-managed-poolName": "x"}, "first"},
		{"nobody is known to have changed them", v1beta1.TagsChanged{}, nil, "later"},
	} {
		if got := WhoChanged(c.earlier, c.before, system, later); got.By != c.want {
			t.Errorf("%s: %s, want %s", c.why, got.By, c.want)
		}
	}
	if got := WhoChanged(first, nil, RecordedTags(&v1beta1.ResourceGroup{}), later); got.By != "later" {
		t.Errorf("a group that was never tagged has none to miss: %s", got.By)
	}
}

// Only a tag that the service is known to have put somewhere can be missing: a group of
// an older Berth has none.
func TestTagsRecorded(t *testing.T) {
	spec := v1beta1.ManagedClusterSpec{Name: "c1", ResourceGroup: "rg1"}
	group := &v1beta1.ResourceGroup{}
	if TagsRecorded(group, NodeGroupTags(spec)) {
		t.Error("a group that was never tagged")
	}
	group.Annotations = map[string]string{v1beta1.AnnotationSystemTags: RecordTags(NodeGroupTags(spec))}
	if !TagsRecorded(group, NodeGroupTags(spec)) {
		t.Error("a group that was tagged")
	}
}

func TestNodeGroupLevels(t *testing.T) {
	for _, c := range []struct {
		why, level        string
		refused, readOnly bool
	}{
		{"the default", "", false, false},
		{"AKS's default by its name", "Unrestricted", false, false},
		{"a deny assignment", "ReadOnly", false, true},
		{"a level that AKS does not have", "Sealed", true, false},
	} {
		var out violations
		spec := v1beta1.ManagedClusterSpec{NodeResourceGroupProfile: &v1beta1.NodeResourceGroupProfile{RestrictionLevel: c.level}}
		validateNodeGroupProfile(&out, spec.NodeResourceGroupProfile)
		if (len(out) > 0) != c.refused || NodeGroupReadOnly(spec) != c.readOnly {
			t.Errorf("%s: %v, read-only %t", c.why, out, NodeGroupReadOnly(spec))
		}
	}
	if NodeGroupReadOnly(v1beta1.ManagedClusterSpec{}) {
		t.Error("a cluster without a profile is read-only")
	}
}

// A stop that was asked for and has not begun is known as one, whatever came before it.
func TestStopsSoon(t *testing.T) {
	for _, c := range []struct {
		why    string
		asked  *v1beta1.InstanceRequest
		begun  *v1beta1.InstanceProgress
		should bool
	}{
		{"nothing is asked for", nil, nil, false},
		{"a stop", &v1beta1.InstanceRequest{Operation: "a", Action: v1beta1.InstanceDeallocate}, nil, true},
		{"a stop after another action", &v1beta1.InstanceRequest{Operation: "b", Action: v1beta1.InstancePowerOff}, &v1beta1.InstanceProgress{Operation: "a"}, true},
		{"a stop that has begun", &v1beta1.InstanceRequest{Operation: "a", Action: v1beta1.InstanceDeallocate}, &v1beta1.InstanceProgress{Operation: "a"}, false},
		{"a restart", &v1beta1.InstanceRequest{Operation: "a", Action: v1beta1.InstanceRestart}, nil, false},
	} {
		m := &v1beta1.Machine{Spec: v1beta1.MachineSpec{Requested: c.asked}, Status: v1beta1.MachineStatus{Instance: c.begun}}
		if got := StopsSoon(m); got != c.should {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}

// What takes nodes away has the time of their drain on top.
func TestPutTimeout(t *testing.T) {
	minute := func(n int) *metav1.Duration {
		return &metav1.Duration{Duration: time.Duration(n) * time.Minute}
	}
	for _, c := range []struct {
		state   v1beta1.ProvisioningState
		service v1beta1.ServicePolicySpec
		want    time.Duration
	}{
		{v1beta1.StateCreating, v1beta1.ServicePolicySpec{}, 31 * time.Minute},
		{v1beta1.StateStopping, v1beta1.ServicePolicySpec{}, 61 * time.Minute},
		{v1beta1.StateScaling, v1beta1.ServicePolicySpec{DrainTimeout: minute(5)}, 36 * time.Minute},
		{v1beta1.StateRotatingCertificates, v1beta1.ServicePolicySpec{CreateTimeout: minute(10), DrainTimeout: minute(5)}, 16 * time.Minute},
		{v1beta1.StateUpdating, v1beta1.ServicePolicySpec{DrainTimeout: minute(5)}, 31 * time.Minute},
	} {
		if got := PutTimeout(c.service, c.state); got != c.want {
			t.Errorf("%s: %s, want %s", c.state, got, c.want)
		}
	}
}
