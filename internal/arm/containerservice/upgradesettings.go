package containerservice

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// upgradeSpec reads a pool's upgradeSettings. What they leave out stays as it was:
// clients of older api-versions do not know all of them and send the pool back
// without.
func upgradeSpec(body *upgradeSettings, old *v1beta1.UpgradeSettings) *v1beta1.UpgradeSettings {
	spec := old.DeepCopy()
	if *body == (upgradeSettings{}) {
		return spec
	}
	if spec == nil {
		spec = &v1beta1.UpgradeSettings{}
	}
	replace(&spec.MaxSurge, body.MaxSurge)
	replace(&spec.MaxUnavailable, body.MaxUnavailable)
	replace(&spec.UndrainableNodeBehavior, body.UndrainableNodeBehavior)
	if body.DrainTimeoutInMinutes != 0 {
		spec.DrainTimeoutInMinutes = pointer(body.DrainTimeoutInMinutes)
	}
	// No soak at all is a value of its own.
	if body.NodeSoakDurationInMinutes != nil {
		spec.NodeSoakDurationInMinutes = pointer(*body.NodeSoakDurationInMinutes)
	}
	return spec
}

// overrideSpec reads a cluster's upgradeSettings.
func overrideSpec(body *overrideSettings) (*v1beta1.ClusterUpgradeSettings, error) {
	if body == nil || *body == (overrideSettings{}) {
		return nil, nil
	}
	override := &v1beta1.UpgradeOverrideSettings{ForceUpgrade: body.ForceUpgrade}
	if body.Until != "" {
		until, err := time.Parse(time.RFC3339, body.Until)
		if err != nil {
			return nil, arm.InvalidParameter("upgradeSettings.overrideSettings.until",
				"The value of parameter upgradeSettings.overrideSettings.until is invalid: give a time such as 2026-12-24T18:00:00Z.")
		}
		override.Until = &metav1.Time{Time: until.UTC()}
	}
	return &v1beta1.ClusterUpgradeSettings{OverrideSettings: override}, nil
}

func renderOverride(settings *v1beta1.ClusterUpgradeSettings) *clusterUpgrade {
	if settings == nil || settings.OverrideSettings == nil {
		return nil
	}
	body := &overrideSettings{ForceUpgrade: settings.OverrideSettings.ForceUpgrade}
	if until := settings.OverrideSettings.Until; until != nil {
		body.Until = until.UTC().Format(time.RFC3339)
	}
	return &clusterUpgrade{OverrideSettings: body}
}
