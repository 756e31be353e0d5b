package notice

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/clause"
	"berth.dev/berth/internal/release"
)

const (
	older  = "BerthDebian-12containerd-202610.05.0"
	newest = "BerthDebian-12containerd-202611.20.0"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func catalogue() *release.Catalogue {
	return &release.Catalogue{
		NodeImageVersion: newest,
		Releases:         []release.Release{{Version: "1.37.2"}, {Version: "1.36.3"}, {Version: "1.36.1"}},
		NodeImages: []release.NodeImage{
			{Version: newest, Packages: map[string]string{"libssl3": "3.0.17-1~deb12u2", "libc6": "2.36-9+deb12u10"}, Components: map[string]string{"containerd": "2.4.2"}},
			{Version: older, Packages: map[string]string{"libssl3": "3.0.15-1~deb12u1", "libc6": "2.36-9+deb12u10"}, Components: map[string]string{"containerd": "2.4.1"}},
		},
		Images: map[string]string{"coredns": "r/coredns:v1.15.0", "demo": "r/demo:v1"},
	}
}

// two is a cluster of 1.36.1 with a pool on the newest image and one behind.
func two() Cluster {
	return Cluster{
		Kubernetes: "1.36.1", Components: map[string]string{"coredns": "v1.15.0"}, Conditions: []string{"CgroupV1Deprecated"},
		Pools: []Pool{{"new", "1.36.1", newest, false}, {"old", "1.36.1", older, false}},
	}
}

func part(name, from, fixed string) []v1beta1.AffectedPart {
	return []v1beta1.AffectedPart{{Name: name, AffectedRange: v1beta1.AffectedRange{From: from, Fixed: fixed}}}
}

func versions(from, fixed string) []v1beta1.AffectedRange {
	return []v1beta1.AffectedRange{{From: from, Fixed: fixed}}
}

func TestMatch(t *testing.T) {
	control := func(cure string) Hit { return Hit{"H1", "the control plane", "Kubernetes 1.36.1", cure, "", false} }
	pool := func(name, has, cure string) Hit { return Hit{"H2", "node pool " + name, has, cure, "", false} }
	for _, c := range []struct {
		why      string
		affected v1beta1.Affected
		want     []Hit
	}{
		{"a component in the range", v1beta1.Affected{Components: part("coredns", "v1.14.0", "v1.15.1")}, []Hit{{"H1", "component coredns", "v1.15.0", "", "", false}}},
		{"the first version of a range is in it", v1beta1.Affected{Components: part("coredns", "1.15.0", "")}, []Hit{{"H1", "component coredns", "v1.15.0", "", "", false}}},
		{"the fixed version is not", v1beta1.Affected{Components: part("coredns", "", "v1.15.0")}, nil},
		{"a later range", v1beta1.Affected{Components: part("coredns", "v1.16.0", "")}, nil},
		{"a component that the cluster does not have", v1beta1.Affected{Components: part("istio", "", "")}, nil},
		{"Kubernetes, with a patch to go to", v1beta1.Affected{Kubernetes: versions("1.36.0", "1.36.3")},
			[]Hit{control("1.36.3"), pool("new", "Kubernetes 1.36.1", "1.36.3"), pool("old", "Kubernetes 1.36.1", "1.36.3")}},
		{"Kubernetes, without one", v1beta1.Affected{Kubernetes: versions("1.36.0", "1.36.4")},
			[]Hit{control(""), pool("new", "Kubernetes 1.36.1", ""), pool("old", "Kubernetes 1.36.1", "")}},
		{"another minor", v1beta1.Affected{Kubernetes: versions("1.37.0", "")}, nil},
		{"node images: the newest heals", v1beta1.Affected{NodeImages: versions("", newest)}, []Hit{pool("old", "node image "+older, newest)}},
		{"node images: none heals yet", v1beta1.Affected{NodeImages: versions(newest, "")}, []Hit{pool("new", "node image "+newest, "")}},
		{"a package that the newest image has fixed", v1beta1.Affected{Packages: part("libssl3", "", "3.0.17-1~deb12u2")}, []Hit{pool("old", "libssl3 3.0.15-1~deb12u1 in node image "+older, newest)}},
		{"a package that no image has fixed", v1beta1.Affected{Packages: part("libc6", "", "2.36-9+deb12u13")},
			[]Hit{pool("new", "libc6 2.36-9+deb12u10 in node image "+newest, ""), pool("old", "libc6 2.36-9+deb12u10 in node image "+older, "")}},
		{"containerd is no package, and found", v1beta1.Affected{Packages: part("containerd", "", "2.4.2")}, []Hit{pool("old", "containerd 2.4.1 in node image "+older, newest)}},
		{"a package that nothing has", v1beta1.Affected{Packages: part("wget", "", "")}, nil},
		{"a condition that the cluster has", v1beta1.Affected{Condition: "CgroupV1Deprecated", Kubernetes: versions("1.36.0", "1.36.3")},
			[]Hit{control("1.36.3"), pool("new", "Kubernetes 1.36.1", "1.36.3"), pool("old", "Kubernetes 1.36.1", "1.36.3")}},
		{"a condition that it does not have", v1beta1.Affected{Condition: "Stopped", Kubernetes: versions("", "")}, nil},
	} {
		if got := Match(&c.affected, two(), catalogue()); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.why, got, c.want)
		}
	}
}

func TestAdvise(t *testing.T) {
	advisory := func(name string, affected v1beta1.Affected) v1beta1.Advisory {
		return v1beta1.Advisory{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.AdvisorySpec{Affected: affected, Steps: "Rotate keys."}}
	}
	gone := advisory("c-gone", v1beta1.Affected{Kubernetes: versions("", "")})
	now := metav1.NewTime(noon)
	gone.DeletionTimestamp = &now
	last := []v1beta1.ClusterAdvisory{{Name: "b-node", Since: metav1.NewTime(noon.Add(-time.Hour)), Announced: &now}}
	got := Advise([]v1beta1.Advisory{
		gone, advisory("b-node", v1beta1.Affected{Packages: part("libssl3", "", "3.0.17-1~deb12u2")}),
		advisory("a-component", v1beta1.Affected{Components: part("coredns", "", "v2")}), advisory("d-none", v1beta1.Affected{Kubernetes: versions("1.99.0", "")}),
		advisory("e-both", v1beta1.Affected{Components: part("coredns", "", "v2"), Packages: part("libc6", "", "3")}),
		advisory("f-kubernetes", v1beta1.Affected{Kubernetes: versions("", "1.36.3")}),
	}, two(), catalogue(), last, noon)
	for i, want := range []struct{ name, clause, turn, next string }{
		{"a-component", "H1", "Service", "The service brings a patched version of coredns. Rotate keys."},
		{"b-node", "H2", "Customer", "Upgrade node pool old to node image " + newest + ": `berth nodepool upgrade --node-image-only`. Rotate keys."},
		{"e-both", "H2", "Service", "The service brings a patched version of coredns. The service builds a node image without it; upgrade to it when it is there. Rotate keys."},
		{"f-kubernetes", "H2", "Customer", "Upgrade the cluster to 1.36.3: `berth cluster upgrade -k 1.36.3`. Upgrade node pool new to 1.36.3: `berth nodepool upgrade -k 1.36.3`. Upgrade node pool old to 1.36.3: `berth nodepool upgrade -k 1.36.3`. Rotate keys."},
	} {
		if i >= len(got) || got[i].Name != want.name || got[i].Clause != want.clause || got[i].Turn != want.turn || got[i].Next != want.next || got[i].Evidence == "" {
			t.Fatalf("%d: %+v, want %+v", i, got, want)
		}
		if !clause.Known(clause.ID(got[i].Clause)) {
			t.Errorf("there is no clause %s", got[i].Clause)
		}
	}
	if len(got) != 4 || !got[1].Since.Equal(&last[0].Since) || got[1].Announced == nil || got[0].Announced != nil || !got[0].Since.Equal(&now) {
		t.Errorf("what is known keeps its times, and what is new has none yet: %+v", got)
	}
}

// A patch of Kubernetes, a node image or a component that is newer never makes more of a
// cluster affected, where the range has an end.
func TestUpgradingHeals(t *testing.T) {
	affected := v1beta1.Affected{Kubernetes: versions("", "1.36.3"), NodeImages: versions("", newest), Packages: part("libssl3", "", "3.0.17-1~deb12u2")}
	before := len(Match(&affected, two(), catalogue()))
	up := two()
	up.Pools[1].NodeImage = newest
	half := len(Match(&affected, up, catalogue()))
	up.Kubernetes, up.Pools[0].Kubernetes, up.Pools[1].Kubernetes = "1.36.3", "1.36.3", "1.36.3"
	if after := Match(&affected, up, catalogue()); before <= half || half == 0 || len(after) != 0 {
		t.Errorf("%d hits, %d, then %v", before, half, after)
	}
}

func TestObserve(t *testing.T) {
	now := metav1.NewTime(noon)
	pool := func(name, image string) v1beta1.AgentPool {
		p := v1beta1.AgentPool{}
		p.Spec.Name, p.Status.NodeImageVersion, p.Status.CurrentOrchestratorVersion = name, image, "1.36.1"
		return p
	}
	leaving := pool("z", older)
	leaving.DeletionTimestamp = &now
	cluster := &v1beta1.ManagedCluster{Status: v1beta1.ManagedClusterStatus{CurrentKubernetesVersion: "1.36.1", Conditions: []metav1.Condition{
		{Type: "CgroupV1Deprecated", Status: metav1.ConditionTrue}, {Type: "Stopped", Status: metav1.ConditionFalse},
	}}}
	if got := Observe(cluster, []v1beta1.AgentPool{pool("old", older), pool("new", newest), pool("none", ""), leaving}, catalogue()); !reflect.DeepEqual(got, two()) {
		t.Errorf("%+v, want %+v", got, two())
	}
	// A component is what was applied last (H1); what the catalogue does not have is none.
	cluster.Status.AddonsImages = map[string]string{"coredns": "registry.berth.internal/berth/coredns:v1.14.0", "gone": "r/gone:v1"}
	want := two()
	want.Components = map[string]string{"coredns": "v1.14.0"}
	unmanaged := pool("old", older)
	unmanaged.Status.UnmanagedOS = true
	if got := Observe(cluster, []v1beta1.AgentPool{unmanaged}, catalogue()).Pools; len(got) != 1 || !got[0].SelfPatched {
		t.Errorf("a pool whose nodes patch themselves: %+v", got)
	}
	if got := Observe(cluster, []v1beta1.AgentPool{pool("old", older), pool("new", newest)}, catalogue()); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestValidate(t *testing.T) {
	good := func() v1beta1.AdvisorySpec {
		return v1beta1.AdvisorySpec{Vulnerabilities: []string{"CVE-2026-1", "GHSA-aaaa-bbbb-cccc"}, Links: []string{"https://example.com/1"}, Affected: v1beta1.Affected{
			Components: part("coredns", "v1.14.0", "v1.15.1"), Kubernetes: versions("1.36.0", "1.36.3"), NodeImages: versions(older, newest), Packages: part("openssl", "", "3"),
		}}
	}
	early := metav1.NewTime(time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		why    string
		change func(*v1beta1.AdvisorySpec)
		want   []string
	}{
		{"all is well", func(*v1beta1.AdvisorySpec) {}, nil},
		{"nothing is affected", func(s *v1beta1.AdvisorySpec) { s.Affected = v1beta1.Affected{} }, []string{"affected"}},
		{"a component that there is not", func(s *v1beta1.AdvisorySpec) { s.Affected.Components[0].Name = "corends" }, []string{"affected.components[0].name"}},
		{"a range the wrong way round", func(s *v1beta1.AdvisorySpec) { s.Affected.Kubernetes[0].From = "1.36.3" }, []string{"affected.kubernetes[0]"}},
		{"a minor is no version", func(s *v1beta1.AdvisorySpec) { s.Affected.Kubernetes[0] = v1beta1.AffectedRange{Fixed: "1.36"} }, []string{"affected.kubernetes[0].fixed"}},
		{"a day is no node image", func(s *v1beta1.AdvisorySpec) { s.Affected.NodeImages[0] = v1beta1.AffectedRange{From: "soon"} }, []string{"affected.nodeImages[0].from"}},
		{"packages the wrong way round", func(s *v1beta1.AdvisorySpec) { s.Affected.Packages = part("openssl", "3.0.2", "3.0.2~rc1") }, []string{"affected.packages[0]"}},
		{"a link that is none", func(s *v1beta1.AdvisorySpec) { s.Links = []string{"javascript:alert(1)"} }, []string{"links[0]"}},
		{"a flaw without a name", func(s *v1beta1.AdvisorySpec) { s.Vulnerabilities = []string{"the bad one"} }, []string{"vulnerabilities[0]"}},
		{"a fix of long ago", func(s *v1beta1.AdvisorySpec) { s.FixDate = &early }, []string{"fixDate"}},
	} {
		spec := good()
		c.change(&spec)
		var got []string
		for _, violation := range ValidateAdvisory(&spec, catalogue()) {
			got = append(got, violation.Target)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
	issue := v1beta1.KnownIssueSpec{Affected: good().Affected, Topics: []string{"dns"}, Workaround: "Restart."}
	if got := ValidateKnownIssue(&issue, catalogue()); len(got) != 2 || got[0].Target != "topics[0]" || got[1].Target != "afterUpgrade" {
		t.Errorf("a known issue with another topic, of whose workaround nobody knows what an upgrade does: %v", got)
	}
}

// What Berth comes with is held to the same rules.
func TestShippedIssues(t *testing.T) {
	issues, err := Shipped()
	if err != nil || len(issues) == 0 {
		t.Fatalf("%d issues, %v", len(issues), err)
	}
	for i := range issues {
		one := &issues[i]
		if found := ValidateKnownIssue(&one.Spec, catalogue()); len(found) > 0 || one.Name == "" || len(one.Spec.Links) == 0 || one.Spec.Title == "" || one.Spec.Description == "" {
			t.Errorf("%s: %v", one.Name, found)
		}
	}
	found := Touching(issues, "node-not-ready", two(), catalogue())
	if len(found) != 1 || found[0].Name != "cgroup-v1" || !strings.Contains(found[0].Evidence, "Kubernetes 1.36.1") || found[0].AfterUpgrade != "Kept" {
		t.Errorf("a cluster on cgroup v1: %+v", found)
	}
	if found := Touching(issues, "network-policy", two(), catalogue()); len(found) != 0 {
		t.Errorf("a ticket about something else: %+v", found)
	}
	other := two()
	other.Conditions = nil
	if found := Touching(issues, "node-not-ready", other, catalogue()); len(found) != 0 {
		t.Errorf("a cluster on cgroup v2: %+v", found)
	}
}

// One of the operator's replaces one of the same name, and a ticket is told of a few.
func TestOwnIssues(t *testing.T) {
	own := func(name string) v1beta1.KnownIssue {
		return v1beta1.KnownIssue{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.KnownIssueSpec{Title: "mine", Affected: v1beta1.Affected{Kubernetes: versions("", "")}}}
	}
	all, err := All([]v1beta1.KnownIssue{own("cgroup-v1"), own("b"), own("a"), own("d"), own("e"), own("f"), own("g")})
	if err != nil || all[0].Name != "a" || len(all) != 7 || all[2].Name != "cgroup-v1" || all[2].Spec.Title != "mine" {
		t.Errorf("%v, %v", all, err)
	}
	if told := Touching(all, "any", two(), catalogue()); len(told) != maxTouching {
		t.Errorf("a ticket is told of %d", len(told))
	}
}

func TestKnown(t *testing.T) {
	day := metav1.NewTime(noon)
	got := Known([]v1beta1.Advisory{{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1beta1.AdvisorySpec{Vulnerabilities: []string{"CVE-1", "CVE-2"}, FixDate: &day}}, {}})
	if len(got) != 2 || got["CVE-2"].Advisory != "a" || !got["CVE-1"].FixDate.Equal(noon) {
		t.Errorf("%+v", got)
	}
}

// A cluster whose wave has not come is told which version is on its way (H1).
func TestPatchOnItsWay(t *testing.T) {
	c := two()
	c.Components = map[string]string{"coredns": "v1.14.0"}
	one := v1beta1.Advisory{Spec: v1beta1.AdvisorySpec{Affected: v1beta1.Affected{Components: part("coredns", "", "v1.15.0")}}}
	got := Advise([]v1beta1.Advisory{one}, c, catalogue(), nil, noon)
	if len(got) != 1 || got[0].Turn != "Service" || got[0].Next != "The service has coredns v1.15.0 without it, and brings it to the clusters in waves." {
		t.Errorf("%+v", got)
	}
}

// Nodes that patch themselves may have a package's fix: their owners see to it, and what is
// no package of the operating system comes with an image as ever (H2).
func TestNodesThatPatchThemselves(t *testing.T) {
	c := two()
	for i := range c.Pools {
		c.Pools[i].SelfPatched = true
	}
	for _, test := range []struct {
		why, turn, next string
		affected        v1beta1.Affected
	}{
		{"no image has the fix", "Customer", "The nodes of pool new patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it. " +
			"The nodes of pool old patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it.",
			v1beta1.Affected{Packages: part("libc6", "", "2.36-9+deb12u13")}},
		{"an image has it: that heals for sure", "Customer", "Upgrade node pool old to node image " + newest + ": `berth nodepool upgrade --node-image-only`.",
			v1beta1.Affected{Packages: part("libssl3", "", "3.0.17-1~deb12u2")}},
		{"a package and containerd: the service has its part, too", "Customer, Service", "The nodes of pool new patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it. " +
			"The service builds a node image without it; upgrade to it when it is there. " +
			"The nodes of pool old patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it.",
			v1beta1.Affected{Packages: append(part("libc6", "", "2.36-9+deb12u13"), part("containerd", "", "9")...)}},
		{"containerd is healed by an image, the package by its owner", "Customer", "The nodes of pool new patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it. " +
			"The nodes of pool old patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it. " +
			"Upgrade node pool old to node image " + newest + ": `berth nodepool upgrade --node-image-only`.",
			v1beta1.Affected{Packages: append(part("libc6", "", "2.36-9+deb12u13"), part("containerd", "", "2.4.2")...)}},
		{"a package and a managed component", "Customer, Service", "The service brings a patched version of coredns. " +
			"Upgrade node pool old to node image " + newest + ": `berth nodepool upgrade --node-image-only`.",
			v1beta1.Affected{Components: part("coredns", "", "v2"), Packages: part("libssl3", "", "3.0.17-1~deb12u2")}},
		{"containerd is no package", "Service", "The service builds a node image without it; upgrade to it when it is there.", v1beta1.Affected{Packages: part("containerd", "", "9")}},
	} {
		got := Advise([]v1beta1.Advisory{{Spec: v1beta1.AdvisorySpec{Affected: test.affected}}}, c, catalogue(), nil, noon)
		if len(got) != 1 || got[0].Clause != "H2" || got[0].Turn != test.turn || got[0].Next != test.next {
			t.Errorf("%s: %+v", test.why, got)
		}
	}
}
