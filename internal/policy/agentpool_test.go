package policy

import (
	"testing"

	"berth.dev/berth/api/v1beta1"
)

func goodPool(mode string) *v1beta1.AgentPoolProfile {
	pool := &v1beta1.AgentPoolProfile{Name: "np1", Mode: mode}
	DefaultPool(pool, v1beta1.NetworkProfile{NetworkPluginMode: "overlay"}, false)
	return pool
}

func around() PoolsInput {
	return PoolsInput{Network: v1beta1.NetworkProfile{NetworkPlugin: "azure", PodCIDR: "10.244.0.0/16"}, ClusterVersion: "1.36.3", Versions: Versions{Catalogue: catalogue, Now: today}}
}

func TestValidatePool(t *testing.T) {
	for _, c := range []struct {
		why    string
		mode   string
		change func(*v1beta1.AgentPoolProfile)
		code   string
		target string
	}{
		{"defaults", "User", func(*v1beta1.AgentPoolProfile) {}, "", ""},
		{"a user pool may be empty", "User", func(p *v1beta1.AgentPoolProfile) { p.Count = ptr(0) }, "", ""},
		{"a system pool may not", "System", func(p *v1beta1.AgentPoolProfile) { p.Count = ptr(0) }, CodeInvalidParameter, "agentPoolProfile.count"},
		{"a negative count", "User", func(p *v1beta1.AgentPoolProfile) { p.Count = ptr(-1) }, CodeInvalidParameter, "agentPoolProfile.count"},
		{"over 1,000 nodes", "User", func(p *v1beta1.AgentPoolProfile) { p.Count = ptr(1001) }, CodeInvalidParameter, "agentPoolProfile.count"},
		{"an upper-case name", "User", func(p *v1beta1.AgentPoolProfile) { p.Name = "Pool" }, CodeInvalidParameter, "agentPoolProfile.name"},
		{"a name of 13", "User", func(p *v1beta1.AgentPoolProfile) { p.Name = "abcdefghijklm" }, CodeInvalidParameter, "agentPoolProfile.name"},
		{"an unknown size", "User", func(p *v1beta1.AgentPoolProfile) { p.VMSize = "Standard_Z9" }, CodeInvalidParameter, "agentPoolProfile.vmSize"},
		{"a burstable system pool", "System", func(p *v1beta1.AgentPoolProfile) { p.VMSize = "Standard_B2ms" }, CodeInvalidParameter, "agentPoolProfile.vmSize"},
		{"a burstable user pool", "User", func(p *v1beta1.AgentPoolProfile) { p.VMSize = "Standard_B2ms" }, "", ""},
		{"20 pods are too few for system pods", "System", func(p *v1beta1.AgentPoolProfile) { p.MaxPods = 20 }, CodeInvalidParameter, "agentPoolProfile.maxPods"},
		{"and enough for a user pool", "User", func(p *v1beta1.AgentPoolProfile) { p.MaxPods = 20 }, "", ""},
		{"Windows is not there", "User", func(p *v1beta1.AgentPoolProfile) { p.OSType = "Windows" }, CodeInvalidParameter, "agentPoolProfile.osType"},
		{"a label of the system", "User", func(p *v1beta1.AgentPoolProfile) {
			p.NodeLabels = map[string]string{"kubernetes.azure.com/mode": "x"}
		}, CodeBadRequest, "agentPoolProfile.nodeLabels"},
		{"a label under node.kubernetes.io is the customer's", "User", func(p *v1beta1.AgentPoolProfile) {
			p.NodeLabels = map[string]string{"node.kubernetes.io/x": "y"}
		}, "", ""},
		{"a label that is none", "User", func(p *v1beta1.AgentPoolProfile) { p.NodeLabels = map[string]string{"a b": "c"} }, CodeInvalidParameter, "agentPoolProfile.nodeLabels"},
		{"a taint without effect", "User", func(p *v1beta1.AgentPoolProfile) { p.NodeTaints = []string{"a=b"} }, CodeInvalidParameter, "agentPoolProfile.nodeTaints"},
		{"a hard taint on a user pool", "User", func(p *v1beta1.AgentPoolProfile) { p.NodeTaints = []string{"a=b:NoSchedule"} }, "", ""},
		{"a hard taint on a system pool", "System", func(p *v1beta1.AgentPoolProfile) { p.NodeTaints = []string{"a=b:NoSchedule"} }, CodeSystemPoolTaints, "agentPoolProfile.nodeTaints"},
		{"a soft taint on a system pool", "System", func(p *v1beta1.AgentPoolProfile) { p.NodeTaints = []string{"a=b:PreferNoSchedule"} }, "", ""},
		{"the taint that system pods tolerate", "System", func(p *v1beta1.AgentPoolProfile) { p.NodeTaints = []string{"CriticalAddonsOnly=true:NoSchedule"} }, "", ""},
		{"newer than the control plane", "User", func(p *v1beta1.AgentPoolProfile) { p.OrchestratorVersion = "1.37.2" }, CodePoolNewerThanCluster, "agentPoolProfile.orchestratorVersion"},
		{"an older version in support", "User", func(p *v1beta1.AgentPoolProfile) { p.OrchestratorVersion = "1.35.4" }, "", ""},
		{"platform support takes no new pools but the control plane's own version", "User", func(p *v1beta1.AgentPoolProfile) { p.OrchestratorVersion = "1.34.9" }, CodePoolVersionNotSupported, "agentPoolProfile.orchestratorVersion"},
		{"the alias of the control plane's minor is the control plane's version", "User", func(p *v1beta1.AgentPoolProfile) { p.OrchestratorVersion = "1.36" }, "", ""},
		{"an unknown version", "User", func(p *v1beta1.AgentPoolProfile) { p.OrchestratorVersion = "1.12.0" }, CodePoolVersionNotSupported, "agentPoolProfile.orchestratorVersion"},
	} {
		pool := goodPool(c.mode)
		c.change(pool)
		other := *goodPool("System")
		other.Name = "other"
		found := ValidatePool(PoolInput{New: pool, Others: []v1beta1.AgentPoolProfile{other}, Around: around()})
		if c.code == "" && len(found) != 0 || c.code != "" && !has(found, c.code, c.target) {
			t.Errorf("%s: got %v, want %q at %q", c.why, found, c.code, c.target)
		}
	}
}

func TestLastSystemPoolStays(t *testing.T) {
	system, user := *goodPool("System"), *goodPool("User")
	if len(ValidatePoolDelete(system, []v1beta1.AgentPoolProfile{user})) == 0 {
		t.Error("the last system pool may be deleted")
	}
	if found := ValidatePoolDelete(system, []v1beta1.AgentPoolProfile{system}); len(found) != 0 {
		t.Errorf("a system pool beside another may not be deleted: %v", found)
	}
	toUser := system
	toUser.Mode = "User"
	if found := ValidatePool(PoolInput{Old: &system, New: &toUser, Around: around()}); !has(found, CodeOperationNotAllowed, "agentPoolProfile.mode") {
		t.Errorf("the last system pool may become a user pool: %v", found)
	}
}

func TestPoolConstants(t *testing.T) {
	for target, change := range map[string]func(*v1beta1.AgentPoolProfile){
		"properties.vmSize":       func(p *v1beta1.AgentPoolProfile) { p.VMSize = "Standard_D4s_v5" },
		"properties.maxPods":      func(p *v1beta1.AgentPoolProfile) { p.MaxPods = 50 },
		"properties.osDiskSizeGB": func(p *v1beta1.AgentPoolProfile) { p.OSDiskSizeGB = 64 },
		"properties.osDiskType":   func(p *v1beta1.AgentPoolProfile) { p.OSDiskType = "Ephemeral" },
	} {
		old, changed := goodPool("System"), goodPool("System")
		change(changed)
		if found := ValidatePool(PoolInput{Old: old, New: changed, Around: around()}); !has(found, CodePropertyChange, target) {
			t.Errorf("%s may change: %v", target, found)
		}
	}
}

func TestSkew(t *testing.T) {
	for _, c := range []struct {
		controlPlane, pool string
		want               bool
	}{
		{"1.37.2", "1.37.2", true},
		{"1.37.2", "1.37.3", false},
		{"1.37.2", "1.34.0", true},
		{"1.37.2", "1.33.9", false},
		{"1.37.2", "2.37.2", false},
		{"1.37.2", "x", false},
		{"x", "1.37.2", false},
		{"1.28.0", "1.25.9", true},  // three minors from 1.28 on (AKS: upgrade-aks-control-plane)
		{"1.27.9", "1.24.0", false}, // two before it
		{"1.27.9", "1.25.0", true},
	} {
		if got := SkewAllowed(c.controlPlane, c.pool); got != c.want {
			t.Errorf("SkewAllowed(%s, %s) = %v", c.controlPlane, c.pool, got)
		}
	}
}

func TestParseTaint(t *testing.T) {
	for text, ok := range map[string]bool{
		"a=b:NoSchedule": true, "a:NoExecute": true, "a=b:Never": false, ":NoSchedule": false, "": false, "a=b c:NoSchedule": false,
	} {
		if _, _, _, err := ParseTaint(text); (err == nil) != ok {
			t.Errorf("ParseTaint(%q): %v", text, err)
		}
	}
}

func ptr(n int32) *int32 { return &n }
