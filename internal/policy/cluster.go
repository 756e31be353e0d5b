package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// ClusterInput is a cluster as asked for and what is known around it.
type ClusterInput struct {
	// Old is nil for a new cluster.
	Old *v1beta1.ManagedClusterSpec
	New *v1beta1.ManagedClusterSpec
	// Running is the version that the control plane runs; empty for a new cluster.
	Running string
	// Pools are all pools that a new cluster will have.
	Pools []v1beta1.AgentPoolProfile
	// PoolVersions are those of a cluster's pools; only a change reads them.
	PoolVersions []PoolVersion
	Catalogue    *release.Catalogue
	Now          time.Time
	// Locations that clusters may be created in; empty means any.
	Locations []string
}

var (
	clusterName    = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`)
	groupName      = regexp.MustCompile(`^[-\w.()]{0,89}[-\w()]$`)
	dnsPrefixName  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,52}[a-zA-Z0-9])?$`)
	adminUsername  = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9_]{0,31}$`)
	reservedParts  = []string{"MICROSOFT", "WINDOWS"}
	reservedStarts = []string{"LOGIN"}
	reservedNames  = []string{"AZURE", "OFFICE", "OFFICE365", "XBOX"}
)

// ValidateCluster returns every reason to refuse a cluster, none when it is good.
// The specs must have been defaulted.
func ValidateCluster(in ClusterInput) []Violation {
	var out violations
	validateNames(&out, in)
	validateNetwork(&out, in.New.NetworkProfile)
	validateAuthorizedRanges(&out, in.New.APIServerAccess)
	validateTags(&out, in.New.Tags)
	validateSKU(&out, in.New)
	allow(&out, "powerState.code", string(in.New.PowerState.Wanted()), string(v1beta1.PowerRunning), string(v1beta1.PowerStopped))
	validateOverride(&out, in)
	validateChannels(&out, in.New.AutoUpgradeProfile)
	validateNodeGroupProfile(&out, in.New.NodeResourceGroupProfile)
	if profile := in.New.LinuxProfile; profile != nil && !adminUsername.MatchString(profile.AdminUsername) {
		out.add(CodeInvalidParameter, "linuxProfile.adminUsername", "%q is not a valid user name", profile.AdminUsername)
	}
	if in.Old == nil {
		validateNewCluster(&out, in)
		return out
	}
	validateClusterChange(&out, in)
	return out
}

func validateNames(out *violations, in ClusterInput) {
	if !clusterName.MatchString(in.New.Name) {
		out.add(CodeInvalidParameter, "name", "The value of parameter name is invalid: %q must be 1 to 63 letters, digits, underscores and hyphens, and start and end with a letter or digit. Please see https://aka.ms/aks-naming-rules", in.New.Name)
	}
	if ReservedName(in.New.Name) {
		out.add(CodeReservedName, "name", "The resource name %q is reserved or holds a reserved word", in.New.Name)
	}
	if !dnsPrefixName.MatchString(in.New.DNSPrefix) {
		out.add(CodeInvalidParameter, "dnsPrefix", "The value of parameter dnsPrefix is invalid: %q must be 1 to 54 letters, digits and hyphens. Please see https://aka.ms/aks-naming-rules", in.New.DNSPrefix)
	}
	if !groupName.MatchString(in.New.NodeResourceGroup) || len(in.New.NodeResourceGroup) > 80 {
		out.add(CodeInvalidParameter, "nodeResourceGroup", "%q is not a valid resource group name of at most 80 characters", in.New.NodeResourceGroup)
	}
}

// ValidClusterName says whether a cluster, or a snapshot, may have this name.
func ValidClusterName(name string) bool { return clusterName.MatchString(name) && !ReservedName(name) }

// ValidGroupName says whether a resource group may have this name.
func ValidGroupName(name string) bool { return groupName.MatchString(name) }

// ReservedName says whether Azure forbids a resource's name (ReservedResourceName).
func ReservedName(name string) bool {
	upper := strings.ToUpper(name)
	return slices.Contains(reservedNames, upper) ||
		slices.ContainsFunc(reservedParts, func(part string) bool { return strings.Contains(upper, part) }) ||
		slices.ContainsFunc(reservedStarts, func(start string) bool { return strings.HasPrefix(upper, start) })
}

func validateSKU(out *violations, spec *v1beta1.ManagedClusterSpec) {
	allow(out, "sku.name", spec.SKU.Name, "Base")
	allow(out, "sku.tier", spec.SKU.Tier, v1beta1.TierFree, v1beta1.TierStandard, v1beta1.TierPremium)
	switch spec.SupportPlan {
	case "", release.PlanOfficial:
	case release.PlanLTS:
		if spec.SKU.Tier != v1beta1.TierPremium {
			out.add(CodeInvalidParameter, "supportPlan", "support plan %s needs the tier Premium: the cluster's is %s", release.PlanLTS, spec.SKU.Tier)
		}
	default:
		allow(out, "supportPlan", spec.SupportPlan, release.PlanOfficial, release.PlanLTS)
	}
}

func validateNewCluster(out *violations, in ClusterInput) {
	if in.New.PowerState.Wanted() != v1beta1.PowerRunning {
		out.add(CodeBadRequest, "powerState", "a new cluster runs: stop it once it is there")
	}
	for i := range in.Pools {
		*out = append(*out, ValidatePoolPower(PoolPowerInput{New: &in.Pools[i]})...)
	}
	if len(in.Locations) > 0 && !slices.ContainsFunc(in.Locations, func(l string) bool { return SameLocation(l, in.New.Location) }) {
		out.add(CodeLocation, "location", "No registered resource provider found for location %q. The supported locations are %q", in.New.Location, strings.Join(in.Locations, ", "))
	}
	versions := in.versions()
	resolved, ok := in.Catalogue.ResolveAt(in.New.KubernetesVersion, in.Now)
	if !ok || !in.Catalogue.Offered(resolved, versions.Plan, in.Now) {
		notSupported(out, versions, in.New.Name, in.New.KubernetesVersion)
		return
	}
	if len(in.Pools) == 0 {
		out.add(CodeInvalidParameter, "agentPoolProfiles", "a cluster needs at least one agent pool with mode System")
	}
	validatePools(out, PoolsInput{Pools: in.Pools, Network: in.New.NetworkProfile, ClusterVersion: resolved.Version, Versions: versions})
}

// clusterConstants are the fields of a cluster that never change.
var clusterConstants = []struct {
	target string
	value  func(*v1beta1.ManagedClusterSpec) string
}{
	{"name", func(s *v1beta1.ManagedClusterSpec) string { return strings.ToLower(s.Name) }},
	{"location", func(s *v1beta1.ManagedClusterSpec) string { return normalLocation(s.Location) }},
	{"dnsPrefix", func(s *v1beta1.ManagedClusterSpec) string { return s.DNSPrefix }},
	{"nodeResourceGroup", func(s *v1beta1.ManagedClusterSpec) string { return s.NodeResourceGroup }},
	{"networkProfile.networkPlugin", func(s *v1beta1.ManagedClusterSpec) string { return s.NetworkProfile.NetworkPlugin }},
	{"networkProfile.networkPluginMode", func(s *v1beta1.ManagedClusterSpec) string { return s.NetworkProfile.NetworkPluginMode }},
	{"networkProfile.networkPolicy", func(s *v1beta1.ManagedClusterSpec) string { return s.NetworkProfile.NetworkPolicy }},
	{"networkProfile.podCidr", func(s *v1beta1.ManagedClusterSpec) string { return s.NetworkProfile.PodCIDR }},
	{"networkProfile.serviceCidr", func(s *v1beta1.ManagedClusterSpec) string { return s.NetworkProfile.ServiceCIDR }},
	{"networkProfile.dnsServiceIP", func(s *v1beta1.ManagedClusterSpec) string { return s.NetworkProfile.DNSServiceIP }},
}

func validateClusterChange(out *violations, in ClusterInput) {
	for _, constant := range clusterConstants {
		was, is := constant.value(in.Old), constant.value(in.New)
		if was != is {
			out.add(CodePropertyChange, constant.target, "Changing property '%s' is not allowed: it is %q", constant.target, was)
		}
	}
	if running, ok := in.Catalogue.Release(in.Running); ok && in.Old.SupportPlan == release.PlanLTS && in.New.SupportPlan != release.PlanLTS && in.Catalogue.ForLTSOnly(running, in.Now) {
		out.add(CodeVersionNotSupported, "supportPlan", "Kubernetes %s has long-term support alone: upgrade the cluster before it leaves %s", in.Running, release.PlanLTS)
	}
	// What a request leaves alone was judged when it was asked for.
	if in.New.KubernetesVersion == in.Old.KubernetesVersion && !slices.ContainsFunc(in.PoolVersions, PoolVersion.changed) {
		return
	}
	channel := ""
	if in.New.AutoUpgradeProfile != nil {
		channel = in.New.AutoUpgradeProfile.UpgradeChannel
	}
	*out = append(*out, ValidateUpgrade(UpgradeInput{
		Versions: in.versions(), Name: in.New.Name, Running: in.Running, Wanted: in.New.KubernetesVersion, Pools: in.PoolVersions, Channel: channel,
	})...)
}

func (in ClusterInput) versions() Versions {
	return Versions{Catalogue: in.Catalogue, Plan: in.New.SupportPlan, Now: in.Now}
}

// validateTags holds ARM's limits: 50 tags, names to 512 and values to 256
// characters, names equal only once without regard to case.
func validateTags(out *violations, tags map[string]string) {
	if len(tags) > 50 {
		out.add(CodeInvalidParameter, "tags", "%d tags, at most 50 are allowed", len(tags))
	}
	seen := map[string]bool{}
	for name, value := range tags {
		lower := strings.ToLower(name)
		if name == "" || len(name) > 512 || len(value) > 256 || strings.ContainsAny(name, `<>%&\?/`) || seen[lower] {
			out.add(CodeInvalidParameter, "tags", "tag %q is not valid: names have 1 to 512 characters without <>%%&\\?/ and differ by more than case, values at most 256", name)
		}
		seen[lower] = true
	}
}

// SameLocation compares locations as ARM does: "West US 2" is "westus2".
func SameLocation(a, b string) bool { return normalLocation(a) == normalLocation(b) }

func normalLocation(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}
