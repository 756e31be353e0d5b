package containerservice

// This file is the table of every field that a cluster's or pool's body may
// carry. The tags, explained at arm.DecodeBody, say what becomes of each; a field
// that is not here is refused unless it is empty.

// clusterBody is a managed cluster on the wire.
type clusterBody struct {
	ID         string            `json:"id" arm:"read"`
	Name       string            `json:"name" arm:"read"`
	Type       string            `json:"type" arm:"read"`
	Kind       string            `json:"kind,omitempty" arm:"only=Base"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	SKU        *skuBody          `json:"sku,omitempty"`
	Identity   *identityBody     `json:"identity,omitempty"`
	ETag       string            `json:"eTag,omitempty" arm:"read"`
	SystemData *systemData       `json:"systemData,omitempty" arm:"read"`
	Properties clusterProperties `json:"properties"`
}

type skuBody struct {
	Name string `json:"name,omitempty" arm:"enum=Base|Automatic|Basic"`
	Tier string `json:"tier,omitempty" arm:"enum=Free|Standard|Premium|Paid"`
}

type identityBody struct {
	Type        string                          `json:"type,omitempty" arm:"enum=SystemAssigned|UserAssigned"`
	PrincipalID string                          `json:"principalId,omitempty" arm:"read"`
	TenantID    string                          `json:"tenantId,omitempty" arm:"read"`
	Assigned    map[string]userAssignedIdentity `json:"userAssignedIdentities,omitempty"`
	Delegated   map[string]any                  `json:"delegatedResources,omitempty" arm:"read"`
}

type userAssignedIdentity struct {
	PrincipalID string `json:"principalId,omitempty" arm:"read"`
	ClientID    string `json:"clientId,omitempty" arm:"read"`
}

type systemData struct {
	CreatedAt string `json:"createdAt,omitempty"`
}

type clusterProperties struct {
	ProvisioningState        string      `json:"provisioningState,omitempty" arm:"read"`
	PowerState               *powerState `json:"powerState,omitempty" arm:"read"`
	CurrentKubernetesVersion string      `json:"currentKubernetesVersion,omitempty" arm:"read"`
	FQDN                     string      `json:"fqdn,omitempty" arm:"read"`
	PrivateFQDN              string      `json:"privateFQDN,omitempty" arm:"read"`
	AzurePortalFQDN          string      `json:"azurePortalFQDN,omitempty" arm:"read"`
	MaxAgentPools            int32       `json:"maxAgentPools,omitempty" arm:"read"`
	ResourceUID              string      `json:"resourceUID,omitempty" arm:"read"`
	Status                   any         `json:"status,omitempty" arm:"read"`
	// Supportability is Berth's own (X1); AKS's clients pass over what they do not know.
	Supportability *supportState `json:"supportability,omitempty" arm:"read"`

	KubernetesVersion      string               `json:"kubernetesVersion,omitempty"`
	DNSPrefix              string               `json:"dnsPrefix,omitempty"`
	NodeResourceGroup      string               `json:"nodeResourceGroup,omitempty"`
	AgentPoolProfiles      []poolProfile        `json:"agentPoolProfiles"`
	LinuxProfile           *linuxProfile        `json:"linuxProfile,omitempty"`
	NetworkProfile         *networkProfile      `json:"networkProfile,omitempty"`
	APIServerAccessProfile *accessProfile       `json:"apiServerAccessProfile,omitempty"`
	DisableLocalAccounts   *bool                `json:"disableLocalAccounts,omitempty"`
	IdentityProfile        map[string]assetBody `json:"identityProfile,omitempty"`
	UpgradeSettings        *clusterUpgrade      `json:"upgradeSettings,omitempty"`

	EnableRBAC               *bool                   `json:"enableRBAC,omitempty" arm:"only=true"`
	SupportPlan              string                  `json:"supportPlan,omitempty" arm:"enum=KubernetesOfficial|AKSLongTermSupport"`
	ServicePrincipalProfile  servicePrincipalProfile `json:"servicePrincipalProfile"`
	PublicNetworkAccess      string                  `json:"publicNetworkAccess,omitempty" arm:"only=Enabled"`
	AutoUpgradeProfile       *autoUpgradeProfile     `json:"autoUpgradeProfile,omitempty"`
	AutoUpgrades             []autoUpgradeBody       `json:"berthAutoUpgrades,omitempty" arm:"read"`
	NodeResourceGroupProfile *groupProfile           `json:"nodeResourceGroupProfile,omitempty"`
	NodeProvisioningProfile  *provisioningProfile    `json:"nodeProvisioningProfile,omitempty"`
	BootstrapProfile         *bootstrapProfile       `json:"bootstrapProfile,omitempty"`
}

// clusterUpgrade is a cluster's upgradeSettings.
type clusterUpgrade struct {
	OverrideSettings *overrideSettings `json:"overrideSettings,omitempty"`
}

type overrideSettings struct {
	ForceUpgrade bool `json:"forceUpgrade"`
	// Until is a time in RFC 3339.
	Until string `json:"until,omitempty"`
}

type powerState struct {
	Code string `json:"code,omitempty" arm:"enum=Running|Stopped"`
}

// assetBody is the identity that the kubelets use. It is what Berth made, and
// sending another one is refused.
type assetBody struct {
	ResourceID string `json:"resourceId,omitempty"`
	ClientID   string `json:"clientId,omitempty"`
	ObjectID   string `json:"objectId,omitempty"`
}

type servicePrincipalProfile struct {
	ClientID string `json:"clientId,omitempty" arm:"only=msi"`
}

type autoUpgradeProfile struct {
	UpgradeChannel       string `json:"upgradeChannel,omitempty" arm:"enum=none|patch|stable|rapid|node-image"`
	NodeOSUpgradeChannel string `json:"nodeOSUpgradeChannel,omitempty" arm:"enum=None|Unmanaged|SecurityPatch|NodeImage"`
}

type groupProfile struct {
	RestrictionLevel string `json:"restrictionLevel,omitempty" arm:"enum=ReadOnly|Unrestricted"`
}

type provisioningProfile struct {
	Mode             string `json:"mode,omitempty" arm:"only=Manual"`
	DefaultNodePools string `json:"defaultNodePools,omitempty" arm:"only=None"`
}

type bootstrapProfile struct {
	ArtifactSource string `json:"artifactSource,omitempty" arm:"only=Direct"`
}

type linuxProfile struct {
	AdminUsername string  `json:"adminUsername,omitempty"`
	SSH           sshBody `json:"ssh"`
}

type sshBody struct {
	PublicKeys []publicKey `json:"publicKeys"`
}

type publicKey struct {
	KeyData string `json:"keyData"`
}

type networkProfile struct {
	NetworkPlugin     string   `json:"networkPlugin,omitempty" arm:"enum=azure|kubenet|none"`
	NetworkPluginMode string   `json:"networkPluginMode,omitempty" arm:"enum=overlay"`
	NetworkPolicy     string   `json:"networkPolicy,omitempty" arm:"enum=none|azure|calico|cilium"`
	NetworkDataplane  string   `json:"networkDataplane,omitempty" arm:"enum=azure|cilium"`
	PodCIDR           string   `json:"podCidr,omitempty"`
	PodCIDRs          []string `json:"podCidrs,omitempty"`
	ServiceCIDR       string   `json:"serviceCidr,omitempty"`
	ServiceCIDRs      []string `json:"serviceCidrs,omitempty"`
	DNSServiceIP      string   `json:"dnsServiceIP,omitempty"`
	OutboundType      string   `json:"outboundType,omitempty" arm:"enum=loadBalancer|none"`
	LoadBalancerSKU   string   `json:"loadBalancerSku,omitempty" arm:"enum=standard|basic"`
	IPFamilies        []string `json:"ipFamilies,omitempty" arm:"only=IPv4"`
	DockerBridgeCIDR  string   `json:"dockerBridgeCidr,omitempty" arm:"only=172.17.0.1/16"`
}

type accessProfile struct {
	AuthorizedIPRanges []string `json:"authorizedIPRanges,omitempty"`
	DisableRunCommand  bool     `json:"disableRunCommand,omitempty"`
}

// poolProfile is a pool inside a cluster's body: flat, with its name.
type poolProfile struct {
	Name string `json:"name"`
	poolProperties
}

// poolBody is a pool as a resource of its own.
type poolBody struct {
	ID         string         `json:"id" arm:"read"`
	Name       string         `json:"name" arm:"read"`
	Type       string         `json:"type" arm:"read"`
	Properties poolProperties `json:"properties"`
}

type poolProperties struct {
	ETag                       string `json:"eTag,omitempty" arm:"read"`
	ProvisioningState          string `json:"provisioningState,omitempty" arm:"read"`
	CurrentOrchestratorVersion string `json:"currentOrchestratorVersion,omitempty" arm:"read"`
	NodeImageVersion           string `json:"nodeImageVersion,omitempty"`
	Status                     any    `json:"status,omitempty" arm:"read"`

	Count               *int32            `json:"count,omitempty"`
	VMSize              string            `json:"vmSize,omitempty"`
	OSDiskSizeGB        int32             `json:"osDiskSizeGB,omitempty"`
	OSDiskType          string            `json:"osDiskType,omitempty" arm:"enum=Managed|Ephemeral"`
	MaxPods             int32             `json:"maxPods,omitempty"`
	OSType              string            `json:"osType,omitempty" arm:"enum=Linux|Windows"`
	OSSKU               string            `json:"osSKU,omitempty" arm:"enum=Debian"`
	Type                string            `json:"type,omitempty" arm:"enum=VirtualMachineScaleSets|AvailabilitySet|VirtualMachines"`
	Mode                string            `json:"mode,omitempty" arm:"enum=System|User|Gateway"`
	OrchestratorVersion *string           `json:"orchestratorVersion,omitempty" arm:"empty"`
	NodeLabels          map[string]string `json:"nodeLabels,omitempty"`
	NodeTaints          []string          `json:"nodeTaints,omitempty"`
	Tags                map[string]string `json:"tags,omitempty"`
	ScaleDownMode       string            `json:"scaleDownMode,omitempty" arm:"enum=Delete|Deallocate"`
	UpgradeSettings     *upgradeSettings  `json:"upgradeSettings,omitempty"`
	CreationData        *creationData     `json:"creationData,omitempty"`

	PowerState             *powerState `json:"powerState,omitempty"`
	KubeletDiskType        string      `json:"kubeletDiskType,omitempty" arm:"only=OS"`
	ScaleSetPriority       string      `json:"scaleSetPriority,omitempty" arm:"only=Regular"`
	ScaleSetEvictionPolicy string      `json:"scaleSetEvictionPolicy,omitempty" arm:"only=Delete"`
	SpotMaxPrice           *int32      `json:"spotMaxPrice,omitempty" arm:"only=-1"`
	WorkloadRuntime        string      `json:"workloadRuntime,omitempty" arm:"only=OCIContainer"`
	EnableAutoScaling      *bool       `json:"enableAutoScaling,omitempty" arm:"only=false"`
	EnableNodePublicIP     *bool       `json:"enableNodePublicIP,omitempty" arm:"only=false"`
	EnableFIPS             *bool       `json:"enableFIPS,omitempty" arm:"only=false"`
}

type upgradeSettings struct {
	MaxSurge                  string `json:"maxSurge,omitempty"`
	DrainTimeoutInMinutes     int32  `json:"drainTimeoutInMinutes,omitempty"`
	NodeSoakDurationInMinutes *int32 `json:"nodeSoakDurationInMinutes,omitempty"`
	MaxUnavailable            string `json:"maxUnavailable,omitempty"`
	UndrainableNodeBehavior   string `json:"undrainableNodeBehavior,omitempty" arm:"enum=Schedule|Cordon"`
}
