package policy

import (
	"strconv"
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// AKS's bounds of a pool's upgradeSettings (upgrade-aks-node-pools-rolling).
const (
	// DefaultMaxSurge is rounded up to nodes.
	DefaultMaxSurge = "10%"
	// UndrainableSchedule and UndrainableCordon are what becomes of a node that
	// cannot be drained in time; the first is the default.
	UndrainableSchedule = "Schedule"
	UndrainableCordon   = "Cordon"

	maxSurgeNodes   = 1000
	minDrainMinutes = 1
	maxDrainMinutes = 1440
	maxSoakMinutes  = 30
)

// Surge is how many nodes an upgrade of a pool with so many nodes adds: the setting
// rounded up and capped at the pool's size, and none where nodes are replaced in
// place.
func Surge(settings *v1beta1.UpgradeSettings, count int) int {
	text := DefaultMaxSurge
	switch {
	case settings != nil && settings.MaxSurge != "":
		text = settings.MaxSurge
	case Unavailable(settings, count) > 0:
		return 0
	}
	return nodesOf(text, count)
}

// Unavailable is how many nodes of a pool an upgrade replaces in place at a time.
func Unavailable(settings *v1beta1.UpgradeSettings, count int) int {
	if settings == nil {
		return 0
	}
	return nodesOf(settings.MaxUnavailable, count)
}

// nodesOf reads a count or a percentage of nodes, rounded up and capped at count.
func nodesOf(text string, count int) int {
	number, percent, ok := parseNodes(text)
	if !ok {
		return 0
	}
	if percent {
		number = (number*count + 99) / 100
	}
	return min(number, count)
}

// parseNodes reads "3" or "33%".
func parseNodes(text string) (number int, percent, ok bool) {
	digits, percent := strings.CutSuffix(text, "%")
	number, err := strconv.Atoi(digits)
	most := maxSurgeNodes
	if percent {
		most = 100
	}
	return number, percent, err == nil && number >= 0 && number <= most && !strings.HasPrefix(digits, "+")
}

func validateUpgradeSettings(out *violations, pool v1beta1.AgentPoolProfile) {
	settings := pool.UpgradeSettings
	validateSurgeRoom(out, pool)
	if settings == nil {
		return
	}
	validateNodes(out, "maxSurge", settings.MaxSurge)
	validateNodes(out, "maxUnavailable", settings.MaxUnavailable)
	validateMinutes(out, "drainTimeoutInMinutes", settings.DrainTimeoutInMinutes, minDrainMinutes, maxDrainMinutes)
	validateMinutes(out, "nodeSoakDurationInMinutes", settings.NodeSoakDurationInMinutes, 0, maxSoakMinutes)
	if settings.UndrainableNodeBehavior != "" {
		allow(out, "agentPoolProfile.upgradeSettings.undrainableNodeBehavior", settings.UndrainableNodeBehavior, UndrainableSchedule, UndrainableCordon)
	}
	validateReplacement(out, pool, settings)
}

// validateReplacement holds a pool to one way of replacing its nodes: with a surge,
// or in place.
func validateReplacement(out *violations, pool v1beta1.AgentPoolProfile, settings *v1beta1.UpgradeSettings) {
	const target = "agentPoolProfile.upgradeSettings.maxUnavailable"
	surge, _, ok := parseNodes(settings.MaxSurge)
	unavailable, _, _ := parseNodes(settings.MaxUnavailable)
	switch {
	case unavailable > 0 && pool.Mode == "System":
		out.add(CodeInvalidParameter, target, "The value of parameter %s is invalid: nodes of a system pool are not replaced in place; use 0", target)
	case unavailable > 0 && surge > 0:
		out.add(CodeInvalidParameter, target, "The value of parameter %s is invalid: maxSurge and maxUnavailable cannot both be more than 0", target)
	case unavailable == 0 && ok && surge == 0:
		out.add(CodeInvalidParameter, "agentPoolProfile.upgradeSettings.maxSurge", "The value of parameter agentPoolProfile.upgradeSettings.maxSurge is invalid: it must be more than 0 where maxUnavailable is 0")
	}
}

// validateSurgeRoom refuses a pool whose nodes and those that an upgrade adds are more
// than a pool can have, also where nothing was said of them (AKS: quotas-skus-regions).
func validateSurgeRoom(out *violations, pool v1beta1.AgentPoolProfile) {
	if pool.Count == nil || *pool.Count > maxNodesPerPool {
		return
	}
	added := Surge(pool.UpgradeSettings, int(*pool.Count))
	// A count as it was written is compared: what is capped at the pool's size never passes the limit by accident.
	if settings := pool.UpgradeSettings; settings != nil {
		if number, percent, ok := parseNodes(settings.MaxSurge); ok && !percent {
			added = number
		}
	}
	if total := int(*pool.Count) + added; total > maxNodesPerPool {
		out.add(CodeInvalidParameter, "agentPoolProfile.upgradeSettings.maxSurge", "The value of parameter agentPoolProfile.upgradeSettings.maxSurge is invalid: %d nodes and a surge of %d, which is %s, are more than %d",
			*pool.Count, added, surgeSaid(pool.UpgradeSettings), maxNodesPerPool)
	}
}

// surgeSaid is a pool's maxSurge for people.
func surgeSaid(settings *v1beta1.UpgradeSettings) string {
	if settings == nil || settings.MaxSurge == "" {
		return DefaultMaxSurge + " where nothing else is said"
	}
	return settings.MaxSurge
}

func validateNodes(out *violations, field, text string) {
	if _, _, ok := parseNodes(text); text != "" && !ok {
		out.add(CodeInvalidParameter, "agentPoolProfile.upgradeSettings."+field, "The value '%s' of parameter agentPoolProfile.upgradeSettings.%s is invalid: use a number of nodes such as 1, or a percentage such as 33%%", text, field)
	}
}

func validateMinutes(out *violations, field string, minutes *int32, least, most int32) {
	if minutes != nil && (*minutes < least || *minutes > most) {
		out.add(CodeInvalidParameter, "agentPoolProfile.upgradeSettings."+field, "The value of parameter agentPoolProfile.upgradeSettings.%s is invalid: it is %d to %d minutes, not %d", field, least, most, *minutes)
	}
}
