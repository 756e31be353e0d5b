package containerservice

import (
	"strconv"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// AKS's bounds of upgradeSettings (upgrade-aks-node-pools-rolling).
const (
	maxSurgeNodes   = 1000
	maxDrainMinutes = 1440
	maxSoakMinutes  = 30
)

func upgradeSpec(body *upgradeSettings) (*v1beta1.UpgradeSettings, error) {
	if *body == (upgradeSettings{}) {
		return nil, nil
	}
	spec := &v1beta1.UpgradeSettings{MaxSurge: body.MaxSurge}
	if body.MaxSurge != "" && !surge(body.MaxSurge) {
		return nil, arm.InvalidParameter("agentPoolProfile.upgradeSettings.maxSurge",
			"The value '%s' of parameter agentPoolProfile.upgradeSettings.maxSurge is invalid: use a number of nodes such as 1, or a percentage such as 33%%.", body.MaxSurge)
	}
	for _, bound := range []struct {
		name  string
		value int32
		most  int32
		into  **int32
	}{
		{"drainTimeoutInMinutes", body.DrainTimeoutInMinutes, maxDrainMinutes, &spec.DrainTimeoutInMinutes},
		{"nodeSoakDurationInMinutes", body.NodeSoakDurationInMinutes, maxSoakMinutes, &spec.NodeSoakDurationInMinutes},
	} {
		if bound.value < 0 || bound.value > bound.most {
			return nil, arm.InvalidParameter("agentPoolProfile.upgradeSettings."+bound.name,
				"The value of parameter agentPoolProfile.upgradeSettings.%s is invalid: it must be 0 for the default, or at most %d.", bound.name, bound.most)
		}
		if bound.value > 0 {
			*bound.into = &bound.value
		}
	}
	return spec, nil
}

// surge says whether a text is a count of 1 to 1000 or a percentage of 1 to 100.
func surge(text string) bool {
	digits, percent := strings.CutSuffix(text, "%")
	number, err := strconv.Atoi(digits)
	most := maxSurgeNodes
	if percent {
		most = 100
	}
	return err == nil && number >= 1 && number <= most
}
