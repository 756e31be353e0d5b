package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
	"berth.dev/berth/internal/policy/clause"
)

// The roadmap has previews first, then what has a date, and every clause that is not held
// yet among the plans (N2).
func TestRoadmapIsShown(t *testing.T) {
	world := armtest.New(t)
	commands := runner{environment: map[string]string{
		"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
		"AZURE_CLIENT_ID": armtest.ClientID, "AZURE_CLIENT_SECRET": armtest.ClientSecret,
		"AZURE_SUBSCRIPTION_ID": armtest.Subscription, "HOME": t.TempDir(),
	}}
	code, out, errs := commands.run(t, "roadmap", "-o", "tsv")
	if code != 0 {
		t.Fatal(errs)
	}
	lines := strings.Split(out, "\n")
	if !strings.HasPrefix(lines[0], "\tPreview\tKubernetes 1.39.0\t") {
		t.Errorf("it begins with %q", lines[0])
	}
	wanted := []string{"2099-01-31\tEndOfSupport\tKubernetes 1.37\t", "2099-12-31\tEndOfLTS\tKubernetes 1.37\t", "\tPlan\tKnown issue cgroup-v1\t"}
	for _, part := range clause.Parts() {
		for _, one := range part.Clauses {
			if one.Status == clause.NotYet || one.Status == clause.InPart {
				wanted = append(wanted, "\tPlan\tClause "+string(one.ID)+"\t")
			}
		}
	}
	last := -1
	for i, want := range wanted {
		at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) })
		if at < 0 || i < 3 && at <= last {
			t.Errorf("%q is on line %d of\n%s", want, at, out)
		}
		last = at
	}
}

// What the operator published is shown to those whom it concerns (H1, H2, M1, M2), over
// Berth's own server.
func TestNoticesAreShown(t *testing.T) {
	world := armtest.New(t)
	world.Run(t)
	commands := runner{environment: map[string]string{
		"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
		"AZURE_CLIENT_ID": armtest.ClientID, "AZURE_CLIENT_SECRET": armtest.ClientSecret,
		"AZURE_SUBSCRIPTION_ID": armtest.Subscription, "HOME": t.TempDir(),
	}}
	for _, line := range []string{"group create -n rg1 -l westus2", "cluster create -g rg1 -n demo"} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	published := metav1.NewTime(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))
	for _, object := range []client.Object{
		&v1beta1.Advisory{ObjectMeta: metav1.ObjectMeta{Name: "coredns-flaw"}, Spec: v1beta1.AdvisorySpec{
			Title: "A flaw in CoreDNS", Severity: "High", Vulnerabilities: []string{"CVE-2026-1001"}, Published: &published, Impact: "A pod can have CoreDNS end.",
			Steps: "None.", Links: []string{"https://example.com/a", "https://example.com/b"},
			Affected: v1beta1.Affected{Components: []v1beta1.AffectedPart{{Name: "coredns", AffectedRange: v1beta1.AffectedRange{Fixed: "v1.15.1"}}}},
		}},
		&v1beta1.KnownIssue{ObjectMeta: metav1.ObjectMeta{Name: "slow-dns"}, Spec: v1beta1.KnownIssueSpec{
			Title: "Names resolve slowly", Description: "The first look-ups take five seconds.", Links: []string{"https://example.com/issues/1"},
			Topics: []string{"cluster-dns"}, Workaround: "Restart CoreDNS.", AfterUpgrade: "Lost", Timeline: "Some weeks.", FixedIn: "1.37.3",
			Affected: v1beta1.Affected{Kubernetes: []v1beta1.AffectedRange{{From: "1.37.0", Fixed: "1.37.3"}}},
		}},
	} {
		if err := world.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	play(t, "testdata/support/notices.txt", commands, func(string) {})
}
