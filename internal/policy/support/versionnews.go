package support

import (
	"fmt"
	"slices"
	"time"

	"berth.dev/berth/internal/policy/event"
	"berth.dev/berth/internal/release"
)

// VersionWarning is how long before a version leaves support its clusters are told (AKS:
// supported-kubernetes-versions).
const VersionWarning = 30 * 24 * time.Hour

// VersionNews is what a cluster is told of versions.
type VersionNews struct {
	// Key tells it apart from what was told before.
	Key             string
	Reason, Message string
	// Data is that of AKS's event (Azure: event-schema-aks).
	Data    map[string]string
	Warning bool
}

// VersionsOf says what a cluster with a version and a support plan is to be told, by what
// it was told before, and what it has been told after that. Who was never told anything is
// not told what there is already, but whether the cluster is supported.
func VersionsOf(c *release.Catalogue, version, plan string, told []string, now time.Time) (news []VersionNews, after []string) {
	available := availableNews(c, plan, now)
	all := append([]VersionNews{available}, supportNews(c, version, plan, now)...)
	for _, one := range all {
		if !slices.Contains(told, one.Key) && (len(told) > 0 || one.Key != available.Key) {
			news = append(news, one)
		}
		after = append(after, one.Key)
	}
	return news, after
}

// availableNews is that the list of versions is another one.
func availableNews(c *release.Catalogue, plan string, now time.Time) VersionNews {
	data := map[string]string{}
	stable := c.MinorAt(1, now)
	for _, r := range c.Sorted() {
		keys := map[release.State][]string{
			release.Preview:   {"latestPreviewKubernetesVersion"},
			release.Supported: {"latestSupportedKubernetesVersion"},
		}[c.StateAt(r, plan, now)]
		if keys != nil && r.Minor() == stable {
			keys = append(keys, "latestStableKubernetesVersion")
		}
		for _, key := range keys {
			if have := data[key]; have == "" || release.Compare(r.Version, have) > 0 {
				data[key] = r.Version
			}
		}
		lowest := data["lowestMinorKubernetesVersion"]
		if c.StateAt(r, plan, now) == release.Supported && (lowest == "" || release.Compare(r.Version, lowest) < 0) {
			data["lowestMinorKubernetesVersion"] = r.Version
		}
	}
	return VersionNews{
		Key: fmt.Sprint(event.ReasonVersionAvailable, data), Reason: event.ReasonVersionAvailable, Data: data,
		Message: fmt.Sprintf("the list of available Kubernetes versions has changed; the newest that is supported is %s: `berth cluster get-upgrades`", data["latestSupportedKubernetesVersion"]),
	}
}

// supportNews is that a version leaves support soon, or has left it.
func supportNews(c *release.Catalogue, version, plan string, now time.Time) []VersionNews {
	r, known := c.Release(version)
	if !known {
		return nil
	}
	made := VersionNews{Data: map[string]string{event.DataKubernetesVersion: version}, Warning: true}
	switch {
	case !supported(c.StateAt(r, plan, now)):
		made.Reason, made.Message = event.ReasonSupportEnded, fmt.Sprintf("Kubernetes %s is out of support: upgrade the cluster", version)
	case !supported(c.StateAt(r, plan, now.Add(VersionWarning))):
		made.Reason, made.Message = event.ReasonSupportEnding, fmt.Sprintf("Kubernetes %s leaves support within %d days: upgrade the cluster", version, VersionWarning/(24*time.Hour))
	default:
		return nil
	}
	made.Key = made.Reason + " " + version
	return []VersionNews{made}
}

func supported(state release.State) bool {
	return state == release.Supported || state == release.Preview
}
