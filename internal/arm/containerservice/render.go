package containerservice

import (
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/release"
)

// maxAgentPools is AKS's limit. az takes a cluster that shows less than 8 for an
// old one and upgrades its pools without being asked.
const maxAgentPools = 100

// clusterID is the ARM id of a cluster.
func clusterID(r *arm.Request, spec *v1beta1.ManagedClusterSpec) string {
	return r.GroupPath(spec.ResourceGroup) + "/providers/" + clusterType + "/" + spec.Name
}

// renderCluster is a cluster's body: the fields of every api-version together,
// and those without which az 2.45 fails.
func renderCluster(r *arm.Request, v *view) *clusterBody {
	spec := &v.cluster.Spec
	return &clusterBody{
		ID: clusterID(r, spec), Name: spec.Name, Type: clusterType,
		Location: arm.NormalLocation(spec.Location), Tags: spec.Tags,
		SKU: renderSKU(spec.SKU), Identity: renderIdentity(r, v),
		ETag:       v.etag(),
		SystemData: &systemData{CreatedAt: v.cluster.CreationTimestamp.UTC().Format(time.RFC3339)},
		Properties: renderProperties(r, v),
	}
}

func renderProperties(r *arm.Request, v *view) clusterProperties {
	spec, status := &v.cluster.Spec, &v.cluster.Status
	yes, noLocal := true, spec.DisableLocalAccounts
	properties := clusterProperties{
		ProvisioningState:        v.state(v.cluster, status.ProvisioningState),
		PowerState:               renderPower(status.PowerState),
		KubernetesVersion:        spec.KubernetesVersion,
		CurrentKubernetesVersion: status.CurrentKubernetesVersion,
		DNSPrefix:                spec.DNSPrefix,
		FQDN:                     status.FQDN,
		AzurePortalFQDN:          status.FQDN,
		MaxAgentPools:            maxAgentPools,
		ResourceUID:              strings.ReplaceAll(string(v.cluster.UID), "-", ""),
		NodeResourceGroup:        spec.NodeResourceGroup,
		EnableRBAC:               &yes,
		SupportPlan:              supportPlan(spec),
		Status:                   clusterProgress(status.Upgrade),
		Supportability:           renderSupportState(status.Support),
		UpgradeSettings:          renderOverride(spec.UpgradeSettings),
		ServicePrincipalProfile:  servicePrincipalProfile{ClientID: "msi"},
		DisableLocalAccounts:     &noLocal,
		IdentityProfile:          kubeletIdentity(r, spec),
		NetworkProfile:           renderNetwork(&spec.NetworkProfile),
		AgentPoolProfiles:        renderPools(v),
		AutoUpgrades:             renderAutoUpgrades(v),
	}
	if properties.KubernetesVersion == "" {
		properties.KubernetesVersion = v.running()
	}
	if spec.LinuxProfile != nil {
		properties.LinuxProfile = &linuxProfile{AdminUsername: spec.LinuxProfile.AdminUsername, SSH: sshBody{PublicKeys: []publicKey{}}}
		for _, key := range spec.LinuxProfile.SSHPublicKeys {
			properties.LinuxProfile.SSH.PublicKeys = append(properties.LinuxProfile.SSH.PublicKeys, publicKey{KeyData: key})
		}
	}
	if profile := spec.AutoUpgradeProfile; profile != nil {
		properties.AutoUpgradeProfile = &autoUpgradeProfile{UpgradeChannel: profile.UpgradeChannel, NodeOSUpgradeChannel: profile.NodeOSUpgradeChannel}
	}
	if profile := spec.NodeResourceGroupProfile; profile != nil {
		properties.NodeResourceGroupProfile = &groupProfile{RestrictionLevel: profile.RestrictionLevel}
	}
	if access := spec.APIServerAccess; access != nil {
		properties.APIServerAccessProfile = &accessProfile{AuthorizedIPRanges: access.AuthorizedIPRanges, DisableRunCommand: access.DisableRunCommand}
	}
	return properties
}

// renderPools shows the pools, or before they exist what was asked for.
func renderPools(v *view) []poolProfile {
	profiles := make([]poolProfile, 0, len(v.pools))
	for i := range v.pools {
		pool := &v.pools[i]
		profiles = append(profiles, poolProfile{Name: pool.Spec.Name, poolProperties: renderPoolProperties(v, pool)})
	}
	if len(v.pools) > 0 || v.cluster.Status.ObservedGeneration > 0 {
		return profiles
	}
	for _, profile := range v.cluster.Spec.AgentPoolProfiles {
		asked := &v1beta1.AgentPool{Spec: v1beta1.AgentPoolSpec{AgentPoolProfile: profile}}
		profiles = append(profiles, poolProfile{Name: profile.Name, poolProperties: renderPoolProperties(v, asked)})
	}
	slices.SortFunc(profiles, func(a, b poolProfile) int { return strings.Compare(a.Name, b.Name) })
	return profiles
}

func renderPool(r *arm.Request, v *view, pool *v1beta1.AgentPool) *poolBody {
	return &poolBody{
		ID:   clusterID(r, &v.cluster.Spec) + "/agentPools/" + pool.Spec.Name,
		Name: pool.Spec.Name, Type: poolType, Properties: renderPoolProperties(v, pool),
	}
}

func renderPoolProperties(v *view, pool *v1beta1.AgentPool) poolProperties {
	spec, status, no := &pool.Spec, &pool.Status, false
	properties := poolProperties{
		ETag:                       v.poolETag(pool),
		ProvisioningState:          v.state(pool, status.ProvisioningState),
		PowerState:                 renderPower(status.PowerState),
		OrchestratorVersion:        pointer(v.poolVersion(pool)),
		CurrentOrchestratorVersion: status.CurrentOrchestratorVersion,
		NodeImageVersion:           status.NodeImageVersion,
		Count:                      spec.Count, VMSize: spec.VMSize, OSDiskSizeGB: spec.OSDiskSizeGB, OSDiskType: spec.OSDiskType,
		KubeletDiskType: "OS", MaxPods: spec.MaxPods, OSType: spec.OSType, OSSKU: spec.OSSKU, Type: spec.Type, Mode: spec.Mode,
		NodeLabels: spec.NodeLabels, NodeTaints: spec.NodeTaints, Tags: spec.Tags, ScaleDownMode: spec.ScaleDownMode,
		EnableAutoScaling: &no, EnableNodePublicIP: &no, EnableFIPS: &no,
		Status: poolProgress(status),
	}
	if spec.CreationData != nil {
		properties.CreationData = &creationData{SourceResourceID: spec.CreationData.SourceResourceID}
	}
	if settings := spec.UpgradeSettings; settings != nil {
		properties.UpgradeSettings = &upgradeSettings{
			MaxSurge: settings.MaxSurge, DrainTimeoutInMinutes: valueOf(settings.DrainTimeoutInMinutes), NodeSoakDurationInMinutes: settings.NodeSoakDurationInMinutes,
			MaxUnavailable: settings.MaxUnavailable, UndrainableNodeBehavior: settings.UndrainableNodeBehavior,
		}
	}
	return properties
}

// valueOf is what a pointer points to, or the zero value.
func valueOf[T any](pointer *T) T {
	var zero T
	if pointer == nil {
		return zero
	}
	return *pointer
}

func pointer[T any](value T) *T { return &value }

func supportPlan(spec *v1beta1.ManagedClusterSpec) string {
	if spec.SupportPlan != "" {
		return spec.SupportPlan
	}
	return release.PlanOfficial
}

func renderPower(state v1beta1.PowerState) *powerState {
	if state.Code == "" {
		return &powerState{Code: string(v1beta1.PowerRunning)}
	}
	return &powerState{Code: string(state.Code)}
}

func renderSKU(sku *v1beta1.SKU) *skuBody {
	if sku == nil {
		return &skuBody{Name: "Base", Tier: "Free"}
	}
	return &skuBody{Name: sku.Name, Tier: sku.Tier}
}

// renderIdentity shows ids that are made from the cluster's own: they name it and
// give no rights.
func renderIdentity(r *arm.Request, v *view) *identityBody {
	identity := v.cluster.Spec.Identity
	if identity == nil {
		identity = &v1beta1.Identity{Type: "SystemAssigned"}
	}
	body := &identityBody{Type: identity.Type}
	if identity.Type == "SystemAssigned" {
		body.TenantID = strings.ToLower(r.Subscription.Spec.TenantID)
		body.PrincipalID = arm.DerivedID("principal", v.cluster.Spec.ID)
		return body
	}
	body.Assigned = map[string]userAssignedIdentity{}
	for _, id := range identity.UserAssignedIdentities {
		body.Assigned[id] = userAssignedIdentity{PrincipalID: arm.DerivedID("principal", id), ClientID: arm.DerivedID("client", id)}
	}
	return body
}

// kubeletIdentity is what az needs for every update; like renderIdentity's ids
// its ids give no rights.
func kubeletIdentity(r *arm.Request, spec *v1beta1.ManagedClusterSpec) map[string]assetBody {
	return map[string]assetBody{"kubeletidentity": {
		ResourceID: r.GroupPath(spec.NodeResourceGroup) + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + spec.Name + "-agentpool",
		ClientID:   arm.DerivedID("kubelet client", spec.ID),
		ObjectID:   arm.DerivedID("kubelet object", spec.ID),
	}}
}

func renderNetwork(n *v1beta1.NetworkProfile) *networkProfile {
	return &networkProfile{
		NetworkPlugin: n.NetworkPlugin, NetworkPluginMode: n.NetworkPluginMode, NetworkPolicy: n.NetworkPolicy, NetworkDataplane: n.NetworkDataplane,
		PodCIDR: n.PodCIDR, PodCIDRs: one(n.PodCIDR), ServiceCIDR: n.ServiceCIDR, ServiceCIDRs: one(n.ServiceCIDR),
		DNSServiceIP: n.DNSServiceIP, OutboundType: n.OutboundType, LoadBalancerSKU: n.LoadBalancerSKU, IPFamilies: []string{"IPv4"},
	}
}

func one(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}
