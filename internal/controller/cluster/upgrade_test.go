package cluster

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// everyWorld is every combination of what can be seen.
func everyWorld() []upgradeWorld {
	var all []upgradeWorld
	for bits := range 1 << 12 {
		on := func(n int) bool { return bits>>n&1 == 1 }
		all = append(all, upgradeWorld{on(0), on(1), on(2), on(3), on(4), on(5), on(6), on(7), on(8), on(9), on(10), on(11)})
	}
	return all
}

func ends(phase v1beta1.UpgradePhase) bool { return len(upgradeRules[phase]) == 0 }

// Whatever is seen, an upgrade stays in the table, and the rules that customers
// rely on hold.
func TestUpgradeRulesHoldEverywhere(t *testing.T) {
	reached := map[v1beta1.UpgradePhase]bool{v1beta1.UpgradeSnapshot: true}
	for phase := range upgradeRules {
		for _, w := range everyWorld() {
			to, why := nextPhase(phase, w)
			reached[to] = true
			if _, ok := upgradeRules[to]; !ok {
				t.Fatalf("%s leads to %s, which the table does not know", phase, to)
			}
			for what, broken := range map[string]bool{
				"an upgrade that ended goes on":                              ends(phase) && to != phase,
				"the control plane is touched before etcd is saved":          phase == v1beta1.UpgradeSnapshot && to == v1beta1.UpgradeTrial && !w.saved,
				"the control plane is replaced by a version never seen up":   to == v1beta1.UpgradeRollOut && phase != to && !w.trialReady,
				"an upgrade succeeds though the version does not run":        phase == v1beta1.UpgradeRollOut && to == v1beta1.UpgradeComponents && !w.newRuns,
				"an upgrade succeeds without its components":                 to == v1beta1.UpgradeSucceeded && phase != to && !w.applied,
				"an upgrade is given up for components that nobody refuses":  to == v1beta1.UpgradeIncomplete && phase != to && (!w.refused || !w.late || w.applied),
				"writes are given up though the old version runs":            to == v1beta1.UpgradeRestore && phase != to && (w.oldRuns || !w.late || !w.tried),
				"writes are given up before the old version was tried":       to == v1beta1.UpgradeRestore && phase != to && phase != v1beta1.UpgradeRollBack,
				"writes are given up though etcd is what is ill":             to == v1beta1.UpgradeRestore && phase != to && w.etcdIll,
				"what was saved is put back though it is of no use":          to == v1beta1.UpgradeRestore && phase != to && w.unsaved,
				"the control plane is replaced while nothing is saved":       to == v1beta1.UpgradeRollOut && phase != to && w.unsaved,
				"a roll back ends before the old version runs":               phase != v1beta1.UpgradeSnapshot && to == v1beta1.UpgradeFailed && phase != to && !w.oldRuns,
				"an upgrade goes wrong and nobody is told why":               (to == v1beta1.UpgradeRollBack || to == v1beta1.UpgradeIncomplete || phase == v1beta1.UpgradeSnapshot && to == v1beta1.UpgradeFailed) && phase != to && why == "",
				"a customer who gave an upgrade up is upgraded all the same": w.unwanted && phase == v1beta1.UpgradeTrial && to != v1beta1.UpgradeRollBack,
			} {
				if broken {
					t.Errorf("%s: from %s to %s on %+v", what, phase, to, w)
				}
			}
		}
	}
	for phase := range upgradeRules {
		if _, ok := upgradeShapes[phase]; !ok || !reached[phase] {
			t.Errorf("%s: shape known %v, reached %v", phase, ok, reached[phase])
		}
	}
}

// Every rule decides in some world: a rule that never counts is a mistake.
func TestEveryUpgradeRuleCounts(t *testing.T) {
	for phase, rules := range upgradeRules {
		for i, rule := range rules {
			counts := false
			for _, w := range everyWorld() {
				first := 0
				for first < len(rules) && !rules[first].when(w) {
					first++
				}
				counts = counts || first == i
			}
			if !counts {
				t.Errorf("%s: the rule to %s never counts", phase, rule.to)
			}
		}
	}
}

// What a customer reads, and what is tried again.
func TestUpgradeMessagesAndAttempts(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Generation: 3, Annotations: map[string]string{v1beta1.AnnotationOperation: "op1"}}}
	cluster.Status.CurrentKubernetesVersion = "1.36.3"
	up := newUpgrade(cluster, "1.37.2", now)
	if other := newUpgrade(cluster, "1.37.2", now.Add(time.Millisecond)); other.Snapshot == up.Snapshot {
		t.Error("two attempts share a snapshot: the second would find the first one's")
	}
	up = advance(up, v1beta1.UpgradeTrial, "", "", now)
	up = advance(up, v1beta1.UpgradeRollBack, sawLate, "kube: ImagePullBackOff", now)
	kept := advance(up, v1beta1.UpgradeFailed, "", "", now)
	if want := "The upgrade of the control plane from Kubernetes 1.36.3 to 1.37.2 failed: the new version did not come up in time " +
		"(kube: ImagePullBackOff). Kubernetes 1.36.3 runs, with everything that was written."; kept.Message != want || kept.EndTime == nil {
		t.Errorf("message %q, ended %v", kept.Message, kept.EndTime)
	}
	restored := advance(advance(up, v1beta1.UpgradeRestore, "", "", now), v1beta1.UpgradeFailed, "", "", now)
	if !strings.Contains(restored.Message, "with what etcd held at 2026-11-24T10:00:00Z") {
		t.Errorf("a restore is not told of: %q", restored.Message)
	}
	cluster.Status.Upgrade = kept
	for _, c := range []struct {
		why    string
		change func(*v1beta1.ManagedCluster)
		want   bool
	}{
		{"the same request is not tried in a loop", func(*v1beta1.ManagedCluster) {}, true},
		{"a PUT of the same body is another attempt", func(c *v1beta1.ManagedCluster) { c.Annotations[v1beta1.AnnotationOperation] = "op2" }, false},
		{"so is a change by kubectl", func(c *v1beta1.ManagedCluster) { c.Generation = 4 }, false},
		{"another version was not tried", func(c *v1beta1.ManagedCluster) { c.Status.Upgrade.To = "1.37.3" }, false},
		{"a failure from another version says nothing", func(c *v1beta1.ManagedCluster) { c.Status.CurrentKubernetesVersion = "1.36.4" }, false},
	} {
		changed := cluster.DeepCopy()
		c.change(changed)
		if got := tried(changed, "1.37.2"); got != c.want {
			t.Errorf("%s: tried %v", c.why, got)
		}
	}
}

// A version that runs without all of its components is not put back, and what keeps them
// out is told while they are brought and at the end.
func TestIncompleteUpgrades(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Generation: 3, Annotations: map[string]string{v1beta1.AnnotationOperation: "op1"}}}
	cluster.Status.CurrentKubernetesVersion = "1.36.3"
	if said := keptOutBy(cluster); said != "" {
		t.Errorf("nothing was brought yet: %q", said)
	}
	refused := metav1.Condition{Type: v1beta1.ConditionAddonsApplied, Status: metav1.ConditionFalse, Reason: "ApplyFailed", Message: "apply DaemonSet kube-system/kube-proxy: denied\napply Deployment kube-system/coredns: denied"}
	cluster.Status.Conditions = []metav1.Condition{refused}
	said := keptOutBy(cluster)
	if said != "apply DaemonSet kube-system/kube-proxy: denied, and others" {
		t.Errorf("said %q", said)
	}
	up := advance(newUpgrade(cluster, "1.37.2", now), v1beta1.UpgradeIncomplete, sawKeptOut, said, now)
	for _, part := range []string{"from Kubernetes 1.36.3 to 1.37.2 failed: the new version runs, but", "(apply DaemonSet kube-system/kube-proxy: denied, and others)", "asked for again"} {
		if !strings.Contains(up.Message, part) {
			t.Errorf("message %q does not say %q", up.Message, part)
		}
	}
	if up.EndTime == nil || up.UnderWay() || !upgradeShapes[up.Phase].target {
		t.Errorf("it ends with the new version: %+v", up)
	}
	cluster.Status.Upgrade, cluster.Status.CurrentKubernetesVersion = up, "1.37.2"
	if !incomplete(cluster) || !tried(cluster, "1.37.2") {
		t.Error("the same request is tried in a loop")
	}
	cluster.Annotations[v1beta1.AnnotationOperation] = "op2"
	if tried(cluster, "1.37.2") {
		t.Error("whoever asks again is not heard")
	}
	again := resumed(cluster, now.Add(time.Hour))
	if again.Phase != v1beta1.UpgradeComponents || !again.UnderWay() || again.EndTime != nil || again.Message != "" || again.Operation != "op2" || !again.PhaseSince.Equal(&metav1.Time{Time: now.Add(time.Hour)}) {
		t.Errorf("resumed: %+v", again)
	}
	if done := advance(up, v1beta1.UpgradeSucceeded, "", "", now); done.Message != "" || done.UnderWay() {
		t.Errorf("complete at last: %+v", done)
	}
}
