package event

import (
	"regexp"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// The prefixes of types: AKS's own, ARM's, and those of what AKS has no type for.
const (
	prefixAKS       = "Microsoft.ContainerService."
	prefixResources = "Microsoft.Resources."
	prefixBerth     = "dev.berth."
)

// The reasons of notices that AKS has a type for (Azure: event-schema-aks).
const (
	ReasonVersionAvailable = "NewKubernetesVersionAvailable"
	ReasonSupportEnding    = "ClusterSupportEnding"
	ReasonSupportEnded     = "ClusterSupportEnded"
	ReasonRollingStarted   = "NodePoolRollingStarted"
	ReasonRollingSucceeded = "NodePoolRollingSucceeded"
	ReasonRollingFailed    = "NodePoolRollingFailed"
)

// The keys of a notice's data (Azure: event-schema-aks).
const (
	DataKubernetesVersion = "kubernetesVersion"
	DataNodePoolName      = "nodePoolName"
)

// ReasonDropped is the notice that events were given up. It is no event itself: it would
// be sent where nothing arrives.
const ReasonDropped = "EventsDropped"

// ofAKS are the notices that are AKS's events.
var ofAKS = []string{
	ReasonVersionAvailable, ReasonSupportEnding, ReasonSupportEnded, ReasonRollingStarted, ReasonRollingSucceeded, ReasonRollingFailed,
}

// ofResources are the types of ARM's events by the end of an operation's name and by how
// it ended (Azure: event-schema-subscriptions).
var ofResources = []struct {
	suffix, verb string
}{
	{"/write", "Write"}, {"/delete", "Delete"}, {"/action", "Action"},
}

var endings = map[v1beta1.ActivityCode]string{
	v1beta1.ActivitySucceeded: "Success", v1beta1.ActivityFailed: "Failure", v1beta1.ActivityCanceled: "Cancel",
}

// Types are the types that are known by name; those of other notices are dev.berth. and
// the notice's reason.
func Types() []string {
	var all []string
	for _, reason := range ofAKS {
		all = append(all, prefixAKS+reason)
	}
	for _, of := range ofResources {
		for _, code := range []v1beta1.ActivityCode{v1beta1.ActivitySucceeded, v1beta1.ActivityFailed, v1beta1.ActivityCanceled} {
			all = append(all, prefixResources+"Resource"+of.verb+endings[code])
		}
	}
	return all
}

func typeOfNotice(reason string) string {
	if slices.Contains(ofAKS, reason) {
		return prefixAKS + reason
	}
	return prefixBerth + reason
}

func typeOfOperation(operation string, code v1beta1.ActivityCode) string {
	for _, of := range ofResources {
		if strings.HasSuffix(operation, of.suffix) && endings[code] != "" {
			return prefixResources + "Resource" + of.verb + endings[code]
		}
	}
	return ""
}

var ownType = regexp.MustCompile(`(?i)^dev\.berth\.[a-z][a-z0-9]{0,127}$`)

// known says whether a filter may name a type.
func known(name string) bool {
	return ownType.MatchString(name) || slices.ContainsFunc(Types(), func(t string) bool { return strings.EqualFold(t, name) })
}

// offered says whether the events of a scope have a type: those of a cluster are AKS's and
// Berth's, as a cluster's topic has in Azure; those of a subscription or a group are all.
func offered(eventType, scope string) bool {
	return !isCluster(scope) || !strings.HasPrefix(strings.ToLower(eventType), strings.ToLower(prefixResources))
}

func isCluster(scope string) bool {
	return strings.Contains(strings.ToLower(scope), "/providers/microsoft.containerservice/managedclusters/")
}
