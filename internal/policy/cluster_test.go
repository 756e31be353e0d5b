package policy

import (
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// The catalogue of the tests has every state on today.
var (
	today     = time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)
	catalogue = &release.Catalogue{Releases: []release.Release{
		{Version: "1.38.0", Life: release.Life{Released: "2027-02-28"}},
		{Version: "1.37.2", Life: release.LifeOf("1.37")},
		{Version: "1.36.9", Life: release.LifeOf("1.36"), Removed: "2026-11-11"},
		{Version: "1.36.4", Life: release.LifeOf("1.36")},
		{Version: "1.36.3", Life: release.LifeOf("1.36"), Default: true},
		{Version: "1.35.4", Life: release.LifeOf("1.35")},
		{Version: "1.34.9", Life: release.LifeOf("1.34")},
		{Version: "1.33.1"},
		{Version: "1.32.1"},
	}}
)

func goodCluster() ClusterInput {
	spec := &v1beta1.ManagedClusterSpec{ResourceGroup: "rg", Name: "c1", Location: "westus2"}
	DefaultCluster(spec)
	pool := v1beta1.AgentPoolProfile{Name: "nodepool1"}
	DefaultPool(&pool, spec.NetworkProfile, true)
	return ClusterInput{New: spec, Pools: []v1beta1.AgentPoolProfile{pool}, Catalogue: catalogue, Locations: []string{"westus2"}, Now: today}
}

func TestDefaultsAreValidAndStable(t *testing.T) {
	in := goodCluster()
	if found := ValidateCluster(in); len(found) != 0 {
		t.Fatalf("a cluster of defaults is refused: %v", found)
	}
	again := in.New.DeepCopy()
	DefaultCluster(again)
	if !reflect.DeepEqual(again, in.New) {
		t.Errorf("defaulting twice changes the cluster: %+v", again)
	}
	if in.New.NetworkProfile.DNSServiceIP != "10.0.0.10" {
		t.Errorf("DNS service IP = %s", in.New.NetworkProfile.DNSServiceIP)
	}
}

func TestValidateNewCluster(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*ClusterInput)
		code   string
		target string
	}{
		{"a name with a dot cannot be in a DNS name", func(in *ClusterInput) { in.New.Name = "a.b" }, CodeInvalidParameter, "name"},
		{"a trademark is reserved", func(in *ClusterInput) { in.New.Name = "my-microsoft" }, CodeReservedName, "name"},
		{"a word that starts a login page is reserved", func(in *ClusterInput) { in.New.Name = "loginpage" }, CodeReservedName, "name"},
		{"an unknown location", func(in *ClusterInput) { in.New.Location = "mars" }, CodeLocation, "location"},
		{"an unknown version", func(in *ClusterInput) { in.New.KubernetesVersion = "1.99.0" }, CodeVersionNotSupported, "kubernetesVersion"},
		{"platform support takes no new clusters (F4)", func(in *ClusterInput) { in.New.KubernetesVersion = "1.34.9" }, CodeVersionNotSupported, "kubernetesVersion"},
		{"nor does a retired version", func(in *ClusterInput) { in.New.KubernetesVersion = "1.33.1" }, CodeVersionNotSupported, "kubernetesVersion"},
		{"nor a patch that was withdrawn", func(in *ClusterInput) { in.New.KubernetesVersion = "1.36.9" }, CodeVersionNotSupported, "kubernetesVersion"},
		{"long-term support needs Premium, and Free is the default", func(in *ClusterInput) { in.New.SupportPlan = release.PlanLTS }, CodeInvalidParameter, "supportPlan"},
		{"a plan that there is not", func(in *ClusterInput) { in.New.SupportPlan = "Forever" }, CodeInvalidParameter, "supportPlan"},
		{"an override that has ended", func(in *ClusterInput) { in.New.UpgradeSettings = override(today) }, CodeInvalidParameter, "upgradeSettings.overrideSettings.until"},
		{"pods and services in one range", func(in *ClusterInput) { in.New.NetworkProfile.PodCIDR = "10.0.0.0/8" }, CodeInvalidParameter, "networkProfile.serviceCidr"},
		{"the management network", func(in *ClusterInput) { in.New.NetworkProfile.PodCIDR = "100.70.0.0/16" }, CodeInvalidParameter, "networkProfile.podCidr"},
		{"bits beyond the mask", func(in *ClusterInput) { in.New.NetworkProfile.PodCIDR = "10.244.0.1/16" }, CodeInvalidParameter, "networkProfile.podCidr"},
		{"not a range", func(in *ClusterInput) { in.New.NetworkProfile.ServiceCIDR = "10.0.0.0" }, CodeInvalidParameter, "networkProfile.serviceCidr"},
		{"a service range too small for the DNS address", func(in *ClusterInput) { in.New.NetworkProfile.ServiceCIDR = "10.0.0.0/29" }, CodeInvalidParameter, "networkProfile.serviceCidr"},
		{"DNS outside of the service range", func(in *ClusterInput) { in.New.NetworkProfile.DNSServiceIP = "10.1.0.10" }, CodeInvalidParameter, "networkProfile.dnsServiceIP"},
		{"DNS on the API's own address", func(in *ClusterInput) { in.New.NetworkProfile.DNSServiceIP = "10.0.0.1" }, CodeInvalidParameter, "networkProfile.dnsServiceIP"},
		{"an unknown plugin", func(in *ClusterInput) { in.New.NetworkProfile.NetworkPlugin = "cilium" }, CodeInvalidParameter, "networkProfile.networkPlugin"},
		{"azure without overlay takes addresses from a subnet, which there is none of", func(in *ClusterInput) { in.New.NetworkProfile.NetworkPluginMode = "" }, CodeInvalidParameter, "networkProfile.networkPluginMode"},
		{"a policy engine of ours under a foreign CNI", func(in *ClusterInput) {
			in.New.NetworkProfile.NetworkPlugin, in.New.NetworkProfile.NetworkPluginMode, in.New.NetworkProfile.NetworkPolicy = "none", "", "azure"
		}, CodeInvalidParameter, "networkProfile.networkPolicy"},
		{"no pool", func(in *ClusterInput) { in.Pools = nil }, CodeInvalidParameter, "agentPoolProfiles"},
		{"no system pool", func(in *ClusterInput) { in.Pools[0].Mode = "User" }, CodeInvalidParameter, "agentPoolProfiles"},
		{"a tier that there is not", func(in *ClusterInput) { in.New.SKU.Tier = "Basic" }, CodeInvalidParameter, "sku.tier"},
		{"long-term support without its tier", func(in *ClusterInput) { in.New.SKU.Tier, in.New.SupportPlan = "Standard", release.PlanLTS }, CodeInvalidParameter, "supportPlan"},
		{"an authorised range that is none", func(in *ClusterInput) {
			in.New.APIServerAccess = &v1beta1.APIServerAccessProfile{AuthorizedIPRanges: []string{"everywhere"}}
		}, CodeInvalidParameter, "apiServerAccessProfile.authorizedIPRanges"},
		{"201 authorised ranges", func(in *ClusterInput) {
			in.New.APIServerAccess = &v1beta1.APIServerAccessProfile{AuthorizedIPRanges: strings.Split(strings.Repeat("1.1.1.1,", 200)+"1.1.1.1", ",")}
		}, CodeInvalidParameter, "apiServerAccessProfile.authorizedIPRanges"},
		{"tags that differ by case alone", func(in *ClusterInput) { in.New.Tags = map[string]string{"a": "1", "A": "2"} }, CodeInvalidParameter, "tags"},
		{"more nodes than /24s in the pod range", func(in *ClusterInput) {
			in.New.NetworkProfile.PodCIDR = "10.244.0.0/23"
			three := int32(3)
			in.Pools[0].Count = &three
		}, CodeInvalidParameter, "networkProfile.podCidr"},
	} {
		in := goodCluster()
		c.change(&in)
		if found := ValidateCluster(in); !has(found, c.code, c.target) {
			t.Errorf("%s: got %v, want %s at %s", c.why, found, c.code, c.target)
		}
	}
}

func TestValidateClusterChange(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*v1beta1.ManagedClusterSpec)
		code   string // empty: allowed
		target string
	}{
		{"tags change at will", func(s *v1beta1.ManagedClusterSpec) { s.Tags = map[string]string{"a": "b"} }, "", ""},
		{"the casing of a location is no change", func(s *v1beta1.ManagedClusterSpec) { s.Location = "West US 2" }, "", ""},
		{"the alias of what runs is no upgrade", func(s *v1beta1.ManagedClusterSpec) { s.KubernetesVersion = "1.36" }, "", ""},
		{"the pod range is for life", func(s *v1beta1.ManagedClusterSpec) { s.NetworkProfile.PodCIDR = "10.245.0.0/16" }, CodePropertyChange, "networkProfile.podCidr"},
		{"so is the DNS prefix", func(s *v1beta1.ManagedClusterSpec) { s.DNSPrefix = "other" }, CodePropertyChange, "dnsPrefix"},
		{"and the node resource group", func(s *v1beta1.ManagedClusterSpec) { s.NodeResourceGroup = "other" }, CodePropertyChange, "nodeResourceGroup"},
		{"a cluster does not move", func(s *v1beta1.ManagedClusterSpec) { s.Location = "eastus" }, CodePropertyChange, "location"},
		{"an unknown version", func(s *v1beta1.ManagedClusterSpec) { s.KubernetesVersion = "1.99" }, CodeVersionNotSupported, "kubernetesVersion"},
		{"one minor up", func(s *v1beta1.ManagedClusterSpec) { s.KubernetesVersion = "1.37.2" }, "", ""},
		{"never down", func(s *v1beta1.ManagedClusterSpec) { s.KubernetesVersion = "1.35.4" }, CodeOperationNotAllowed, "kubernetesVersion"},
		{"an override until tomorrow", func(s *v1beta1.ManagedClusterSpec) { s.UpgradeSettings = override(today.AddDate(0, 0, 1)) }, "", ""},
	} {
		in := goodCluster()
		in.New.KubernetesVersion, in.Running = "1.36.3", "1.36.3"
		in.Old = in.New.DeepCopy()
		c.change(in.New)
		found := ValidateCluster(in)
		if c.code == "" && len(found) != 0 || c.code != "" && !has(found, c.code, c.target) {
			t.Errorf("%s: got %v, want %q at %q", c.why, found, c.code, c.target)
		}
	}
}

// A client that sends back what it read is not refused for an override that has
// ended meanwhile, nor for a version that has left support.
func TestWhatIsThereMayStay(t *testing.T) {
	in := goodCluster()
	in.New.KubernetesVersion, in.Running = "1.33.1", "1.33.1"
	in.New.UpgradeSettings = override(today.AddDate(0, 0, -1))
	in.Old = in.New.DeepCopy()
	in.New.Tags = map[string]string{"a": "b"}
	if found := ValidateCluster(in); len(found) != 0 {
		t.Errorf("a change of tags is refused: %v", found)
	}
}

func override(until time.Time) *v1beta1.ClusterUpgradeSettings {
	return &v1beta1.ClusterUpgradeSettings{OverrideSettings: &v1beta1.UpgradeOverrideSettings{ForceUpgrade: true, Until: &metav1.Time{Time: until}}}
}

func TestDefaultDNSPrefixIsAlwaysValid(t *testing.T) {
	valid := func(name, group string) bool { return dnsPrefixName.MatchString(dnsPrefix(name, group)) }
	if err := quick.Check(valid, nil); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "___", "1st", "-a-", strings.Repeat("x", 80)} {
		if !valid(name, name) {
			t.Errorf("dnsPrefix(%q) = %q", name, dnsPrefix(name, name))
		}
	}
}

func has(found []Violation, code, target string) bool {
	for _, v := range found {
		if v.Code == code && v.Target == target {
			return true
		}
	}
	return false
}
