// Package rollout decides how patched components reach the clusters (H1): which of them
// may have the images of a ComponentRollout now, when the next wave begins, and when it
// all stops. It is pure: two tables, of a cluster and of a rollout, that one function reads.
package rollout

import (
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// The defaults of ServicePolicy. AKS brings a release to one region after another, the
// least used ones first, over about two weeks (AKS: release-tracker).
const (
	DefaultReadyWithin = 10 * time.Minute
	DefaultBake        = time.Hour
	// DefaultWaitForWindows has two weekly windows in it, one of which may be blocked.
	DefaultWaitForWindows = 14 * 24 * time.Hour
)

func defaultWaves() []Wave {
	return []Wave{
		{Clusters: 1, Bake: time.Hour}, {Percent: 10, Bake: 6 * time.Hour}, {Percent: 50, Bake: 24 * time.Hour}, {Percent: 100, Bake: time.Hour},
	}
}

// Wave is how many clusters have been reached when a wave is done, and how long they are
// watched before the next one.
type Wave struct {
	Clusters, Percent int
	Bake              time.Duration
}

// Plan is what ServicePolicy asks for.
type Plan struct {
	Waves       []Wave
	ReadyWithin time.Duration
	// MaxFailed is how many clusters may fail before a rollout stops.
	MaxFailed int
	// WaitForWindows is how long, from its making, a rollout waits for maintenance windows.
	WaitForWindows time.Duration
}

// PlanOf reads ServicePolicy.
func PlanOf(spec v1beta1.ServicePolicySpec) Plan {
	plan := Plan{Waves: defaultWaves(), ReadyWithin: DefaultReadyWithin, WaitForWindows: DefaultWaitForWindows}
	set := spec.ComponentRollout
	if set == nil {
		return plan
	}
	if set.ReadyWithin != nil {
		plan.ReadyWithin = set.ReadyWithin.Duration
	}
	if set.MaxFailed != nil {
		plan.MaxFailed = int(*set.MaxFailed)
	}
	if set.WaitForWindows != nil {
		plan.WaitForWindows = set.WaitForWindows.Duration
	}
	if len(set.Waves) > 0 {
		plan.Waves = make([]Wave, 0, len(set.Waves))
	}
	for _, one := range set.Waves {
		wave := Wave{Bake: DefaultBake}
		if one.Clusters != nil {
			wave.Clusters = int(*one.Clusters)
		}
		if one.Percent != nil {
			wave.Percent = int(*one.Percent)
		}
		if one.Bake != nil {
			wave.Bake = one.Bake.Duration
		}
		plan.Waves = append(plan.Waves, wave)
	}
	return plan
}

// wave is the size of wave number n, from 1. What comes after the last one is all that is
// left, watched for as long.
func (p Plan) wave(n int32) Wave {
	if int(n) <= len(p.Waves) && n > 0 {
		return p.Waves[n-1]
	}
	return Wave{Percent: 100, Bake: p.Waves[len(p.Waves)-1].Bake}
}

// limit is how many of a fleet may have been reached in wave number n, and one more than
// have been at least.
func (p Plan) limit(n int32, reached, fleet int) int {
	wave := p.wave(n)
	most := wave.Clusters
	if wave.Percent > 0 {
		most = (fleet*wave.Percent + 99) / 100
	}
	return max(most, reached+1)
}

// ImagesOf are the images of the catalogue that are rolled out in waves.
func ImagesOf(catalogue *release.Catalogue) map[string]string {
	images := map[string]string{}
	for _, name := range release.ClusterComponents() {
		if image := catalogue.Images[name]; image != "" {
			images[name] = image
		}
	}
	return images
}

// ImagesFor are those that a cluster's components get: what its rollout allows, and before
// there was one what it has, but for what its version has of its own, which no wave changes.
// False means that it gets none yet: nobody has said which.
func ImagesFor(status *v1beta1.ManagedClusterStatus, catalogue *release.Catalogue) (map[string]string, bool) {
	allowed, told := status.AddonsImages, len(status.AddonsImages) > 0
	if status.ComponentRollout != nil {
		allowed, told = status.ComponentRollout.Images, true
	}
	if !told {
		return nil, false
	}
	images := ImagesOf(catalogue)
	for name := range images {
		switch {
		case allowed[name] != "":
			images[name] = allowed[name]
		case status.AddonsImages[name] != "":
			images[name] = status.AddonsImages[name]
		}
	}
	return catalogue.ImagesIn(status.ComponentsVersion(), images), true
}
