package test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// An advisory is published once: the cluster that it affects shows it and is told once,
// with impact and steps (H2), also when lives end in between; one that it does not affect
// is told of nothing; and when a fixed version runs, it ends.
func TestAdvisories(t *testing.T) {
	w := newWorld(t)
	killed := false
	w.nextGuard = func() *guard {
		g := newGuard(0, w.client)
		g.killAfter = func(what string) bool {
			if killed || !strings.HasPrefix(what, "apply status ManagedCluster") || len(w.cluster().Status.Advisories) == 0 {
				return false
			}
			killed = true
			return true
		}
		return g
	}
	w.start(w.nextGuard())
	w.create()
	node := w.publish("node-flaw", v1beta1.Affected{NodeImages: []v1beta1.AffectedRange{{Fixed: "BerthDebian-12containerd-202611.23.0"}}})
	w.publish("old-flaw", v1beta1.Affected{Kubernetes: []v1beta1.AffectedRange{{Fixed: "1.30.0"}}})
	w.publish("component-flaw", v1beta1.Affected{Components: []v1beta1.AffectedPart{{Name: "coredns", AffectedRange: v1beta1.AffectedRange{Fixed: "v2"}}}})

	w.eventually("the cluster shows what affects it", func() bool {
		all := w.cluster().Status.Advisories
		return len(all) == 2 && all[0].Name == "component-flaw" && all[0].Clause == "H1" && all[0].Turn == "Service" &&
			all[1].Name == "node-flaw" && all[1].Clause == "H2" && strings.Contains(all[1].Evidence, "node image BerthDebian-12containerd-202611.22.0")
	})
	w.eventually("its owners are told, though a life ended", func() bool {
		return len(w.noted("SecurityAdvisory", "node-flaw")) >= 1 && len(w.noted("SecurityAdvisory", "component-flaw")) >= 1
	})
	since := w.cluster().Status.Advisories[1].Since
	w.eventually("the advisory counts it", func() bool { return w.affected("node-flaw") == 1 && w.affected("component-flaw") == 1 })
	if count := w.affected("old-flaw"); count != 0 {
		t.Errorf("an advisory that affects nothing counts %d clusters", count)
	}
	if !killed {
		t.Error("no life ended after the status was written")
	}

	// A later look keeps the time of the first.
	w.publish("later-flaw", v1beta1.Affected{Kubernetes: []v1beta1.AffectedRange{{From: "1.37.0"}}})
	w.eventually("a later one is shown and told", func() bool {
		return len(w.cluster().Status.Advisories) == 3 && len(w.noted("SecurityAdvisory", "later-flaw")) == 1
	})
	for _, word := range []string{"later-flaw (High)", "An attacker can.", "Found: the control plane has Kubernetes 1.37.2", "Do this."} {
		if note := w.noted("SecurityAdvisory", "later-flaw")[0]; !strings.Contains(note, word) {
			t.Errorf("the event does not say %q: %s", word, note)
		}
	}
	if again := w.cluster().Status.Advisories[2].Since; !again.Equal(&since) {
		t.Errorf("the advisory is new again: %s, it was of %s", again, since)
	}

	w.change(node, func() { node.Spec.Affected.NodeImages[0].Fixed = "BerthDebian-12containerd-202611.22.0" })
	w.eventually("what is fixed ends, and is told", func() bool {
		return len(w.cluster().Status.Advisories) == 2 && w.affected("node-flaw") == 0 && len(w.noted("SecurityAdvisoryEnded", "node-flaw")) == 1
	})
	if count := len(w.noted("SecurityAdvisory", "later-flaw")); count != 1 {
		t.Errorf("told %d times", count)
	}
	w.delete()
	w.checkGone()
}

// A patched component has reached a cluster when it was applied there (H1): a cluster that
// was stopped when Berth brought it shows the flaw until it is started.
func TestPatchReachesStoppedCluster(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(0, w.client) }
	w.start(w.nextGuard())
	w.create()
	w.eventually("the cluster tells what it has", func() bool { return w.cluster().Status.AddonsImages["coredns"] == "coredns:v1" })
	w.powerOff()
	w.stop()
	w.coreDNS = "coredns:v2"
	w.start(w.nextGuard())
	w.publish("component-flaw", v1beta1.Affected{Components: []v1beta1.AffectedPart{{Name: "coredns", AffectedRange: v1beta1.AffectedRange{Fixed: "v2"}}}})
	w.eventually("the stopped cluster has the flaw", func() bool { return w.affected("component-flaw") == 1 })
	if has := w.cluster().Status.AddonsImages["coredns"]; has != "coredns:v1" {
		t.Errorf("a stopped cluster is said to have %s", has)
	}
	w.powerOn()
	w.eventually("the patch came with the start, and the flaw is gone", func() bool {
		return w.cluster().Status.AddonsImages["coredns"] == "coredns:v2" && w.affected("component-flaw") == 0
	})
	w.delete()
	w.checkGone()
}

// publish makes an advisory for as long as the test runs.
func (w *world) publish(name string, affected v1beta1.Affected) *v1beta1.Advisory {
	w.t.Helper()
	advisory := &v1beta1.Advisory{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.AdvisorySpec{
		Title: "A flaw", Severity: "High", Affected: affected, Impact: "An attacker can.", Steps: "Do this.",
	}}
	w.ensure(advisory)
	w.t.Cleanup(func() {
		if err := client.IgnoreNotFound(w.client.Delete(context.Background(), advisory)); err != nil {
			w.t.Error(err)
		}
	})
	return advisory
}

func (w *world) affected(name string) int32 {
	var advisory v1beta1.Advisory
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Name: name}, &advisory); err != nil {
		return -1
	}
	return advisory.Status.AffectedClusters
}

// noted are the notes of events on the cluster with a reason and a word.
func (w *world) noted(reason, word string) []string {
	var all corev1.EventList
	if err := w.client.List(w.t.Context(), &all, client.InNamespace(w.namespace)); err != nil {
		return nil
	}
	var notes []string
	for _, event := range all.Items {
		if event.Reason == reason && event.InvolvedObject.Name == w.clusterName() && strings.Contains(event.Message, word) {
			notes = append(notes, event.Message)
		}
	}
	return notes
}
