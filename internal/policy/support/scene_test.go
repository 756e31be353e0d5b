package support

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

const aDay = 24 * time.Hour

// noon is when every scene begins.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// defaults are AKS's figures.
func defaults() policy.SupportPlan { return policy.Support(v1beta1.ServicePolicySpec{}) }

// healthy is a cluster within the policy.
func healthy() Evidence {
	return Evidence{
		Versions: []Version{{"the control plane", "1.36.3", release.Supported}, {"node pool a", "1.36.3", release.Supported}},
		Images:   []Image{{"a", "BerthDebian-12containerd-202611.22.0", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}},
		Machines: 2, Subscription: v1beta1.SubscriptionEnabled,
	}
}

// ill is each way in which a cluster can leave the policy, by the reason of its row.
func ill() map[string]func(*Evidence) {
	return map[string]func(*Evidence){
		"VersionOutOfSupport":    func(e *Evidence) { e.Versions[0].State = release.Retired },
		"VersionPlatformSupport": func(e *Evidence) { e.Versions[1].State = release.Platform },
		"VersionPreview":         func(e *Evidence) { e.Versions = append(e.Versions, Version{"node pool p", "1.38.0", release.Preview}) },
		"NodeImageTooOld":        func(e *Evidence) { e.Images[0].Built = noon.Add(-90 * aDay) },
		"SystemMetadataChanged": func(e *Evidence) {
			e.Changes = []Change{{"n1", v1beta1.MetadataChange{Time: metav1.NewTime(noon.Add(-time.Hour)), Labels: []string{"kubernetes.azure.com/role"}, Manager: "kubectl-label"}}}
		},
		"SystemTagsChanged": func(e *Evidence) {
			e.Tags = []Tags{{Resource: "resource group MC_rg_c_l", By: "someone", Keys: []string{"aks-managed-cluster-name"}, Since: noon.Add(-time.Hour)}}
		},
		"MachinesStopped": func(e *Evidence) {
			e.Off = []Instance{{Node: "n1", By: "someone", Since: noon.Add(-time.Hour), Power: v1beta1.InstanceDeallocated}}
		},
		"AllMachinesStopped": func(e *Evidence) { e.AllOff = true },
		"MachinesDeleted":    func(e *Evidence) { e.Removed = []Instance{{Node: "n2", Since: noon.Add(-time.Hour)}} },
		"NodeFilesChanged": func(e *Evidence) {
			e.Files = []Files{{"n1", v1beta1.ChangedFiles{Time: metav1.NewTime(noon.Add(-time.Hour)), Paths: []string{"/etc/passwd"}, Count: 1}}}
		},
		"WebhookOnSystem": func(e *Evidence) {
			e.Webhooks = []Webhook{{Name: "policy.example.com", Configuration: "policy", Resources: []string{"nodes"}}}
		},
		"NoNodes":               func(e *Evidence) { e.NoNodes = true },
		"Stopped":               func(e *Evidence) { e.Stopped, e.StoppedSince = true, noon.Add(-time.Hour) },
		"ArchiveAhead":          func(e *Evidence) { e.Archivable = true },
		"Archived":              func(e *Evidence) { e.ArchivedSince = noon.Add(-time.Hour) },
		"SubscriptionWarned":    func(e *Evidence) { e.Subscription = v1beta1.SubscriptionWarned },
		"SubscriptionSuspended": func(e *Evidence) { e.Subscription = v1beta1.SubscriptionSuspended },
		"SubscriptionDeleted":   func(e *Evidence) { e.Subscription = v1beta1.SubscriptionDeleted },
	}
}

// settled has a status in which every clock has run as long as it takes to count.
func settled(elapsed time.Duration) *v1beta1.SupportStatus {
	status := &v1beta1.SupportStatus{}
	for _, r := range table {
		if r.after != nil {
			clock := begin(r, noon.Add(-elapsed))
			clock.Elapsed.Duration, clock.Observed = elapsed, metav1.NewTime(noon)
			status.Clocks = append(status.Clocks, clock)
		}
	}
	return status
}
