package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ProvisioningState is ARM's state of a resource: Succeeded, Failed and Canceled
// are terminal, every other value names what is going on.
type ProvisioningState string

// The provisioning states that Berth reports (reference: AKS, azure-wire).
const (
	StateSucceeded ProvisioningState = "Succeeded"
	StateFailed    ProvisioningState = "Failed"
	StateCanceled  ProvisioningState = "Canceled"
	StateCreating  ProvisioningState = "Creating"
	StateUpdating  ProvisioningState = "Updating"
	StateUpgrading ProvisioningState = "Upgrading"
	StateScaling   ProvisioningState = "Scaling"
	// StateUpgradingNodeImage is that of a pool whose node image is replaced (F2).
	StateUpgradingNodeImage ProvisioningState = "UpgradingNodeImageVersion"
	// StateRotatingCertificates is that of a cluster whose roots of trust are replaced.
	StateRotatingCertificates ProvisioningState = "RotatingClusterCertificates"
	StateStarting             ProvisioningState = "Starting"
	StateStopping             ProvisioningState = "Stopping"
	StateDeleting             ProvisioningState = "Deleting"
)

// Terminal says whether nothing is going on any more.
func (s ProvisioningState) Terminal() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCanceled
}

// PowerCode says whether a cluster or pool runs.
type PowerCode string

// The power codes. They change only when a start or stop has ended.
const (
	PowerRunning PowerCode = "Running"
	PowerStopped PowerCode = "Stopped"
)

// PowerState wraps the code as ARM does.
type PowerState struct {
	Code PowerCode `json:"code,omitempty"`
}

// Wanted is the code that a desired state asks for: Running where it says nothing.
func (p *PowerState) Wanted() PowerCode {
	if p == nil || p.Code == "" {
		return PowerRunning
	}
	return p.Code
}

// ManagedCluster is a customer's Kubernetes cluster. Its object name is
// ObjectName(spec.resourceGroup, spec.name), its namespace that of the
// subscription.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcl
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.currentKubernetesVersion`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.provisioningState`
// +kubebuilder:printcolumn:name="Power",type=string,JSONPath=`.status.powerState.code`
// +kubebuilder:printcolumn:name="Support",type=string,JSONPath=`.status.support.state`
// +kubebuilder:printcolumn:name="FQDN",type=string,JSONPath=`.status.fqdn`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ManagedCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ManagedClusterSpec   `json:"spec"`
	Status ManagedClusterStatus `json:"status,omitempty"`
}

// ManagedClusterSpec is what the customer asked for.
type ManagedClusterSpec struct {
	// ResourceGroup, Name and Location are the ARM ones, in the customer's casing.
	// They never change.
	ResourceGroup string `json:"resourceGroup"`
	Name          string `json:"name"`
	Location      string `json:"location"`

	// ID names everything that is made for this cluster in the management
	// cluster: twelve characters of [a-z0-9], drawn when the cluster is defaulted
	// and never changed.
	ID string `json:"id,omitempty"`

	Tags map[string]string `json:"tags,omitempty"`

	// PowerState is what was asked for; nil means Running (J1).
	PowerState *PowerState `json:"powerState,omitempty"`

	// KubernetesVersion is what was asked for, "1.36" or "1.36.3". What runs is
	// status.currentKubernetesVersion.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// DNSPrefix starts the FQDN. It never changes.
	DNSPrefix string `json:"dnsPrefix,omitempty"`
	// NodeResourceGroup is the name of the resource group that shows the machines
	// (G1); MC_<group>_<cluster>_<location> by default. It never changes.
	NodeResourceGroup string `json:"nodeResourceGroup,omitempty"`
	// NodeResourceGroupProfile says what the customer may do in it; nil means Unrestricted.
	NodeResourceGroupProfile *NodeResourceGroupProfile `json:"nodeResourceGroupProfile,omitempty"`

	SKU                  *SKU                    `json:"sku,omitempty"`
	Identity             *Identity               `json:"identity,omitempty"`
	LinuxProfile         *LinuxProfile           `json:"linuxProfile,omitempty"`
	NetworkProfile       NetworkProfile          `json:"networkProfile,omitempty"`
	APIServerAccess      *APIServerAccessProfile `json:"apiServerAccessProfile,omitempty"`
	DisableLocalAccounts bool                    `json:"disableLocalAccounts,omitempty"`

	// SupportPlan is KubernetesOfficial (the default) or AKSLongTermSupport (AKS:
	// long-term-support).
	SupportPlan string `json:"supportPlan,omitempty"`
	// AutoUpgradeProfile chooses the channels of automatic upgrades (E2, F3, F4).
	AutoUpgradeProfile *AutoUpgradeProfile `json:"autoUpgradeProfile,omitempty"`
	// UpgradeSettings override what would hold an upgrade up.
	UpgradeSettings *ClusterUpgradeSettings `json:"upgradeSettings,omitempty"`
	// Rotations count how often roots of trust were asked to be replaced.
	Rotations *Rotations `json:"rotations,omitempty"`

	// AgentPoolProfiles are the pools to make together with a new cluster. After
	// that the AgentPool objects are the truth and this list is not read.
	AgentPoolProfiles []AgentPoolProfile `json:"agentPoolProfiles,omitempty"`
}

// The tiers of a cluster.
const (
	TierFree     = "Free"
	TierStandard = "Standard"
	TierPremium  = "Premium"
)

// HighlyAvailable says whether the tier's control plane has three replicas (A3).
func (s *SKU) HighlyAvailable() bool {
	return s != nil && (s.Tier == TierStandard || s.Tier == TierPremium)
}

// SKU is the pricing tier. Free has one replica of the control plane, Standard and Premium
// have three (A3).
type SKU struct {
	Name string `json:"name,omitempty"`
	Tier string `json:"tier,omitempty"`
}

// Identity is the cluster's managed identity; Berth gives it ids, no rights.
type Identity struct {
	Type                   string   `json:"type,omitempty"`
	UserAssignedIdentities []string `json:"userAssignedIdentities,omitempty"`
}

// LinuxProfile is the login of the nodes (I1).
type LinuxProfile struct {
	AdminUsername string   `json:"adminUsername,omitempty"`
	SSHPublicKeys []string `json:"sshPublicKeys,omitempty"`
}

// AutoUpgradeProfile is AKS's (auto-upgrade-cluster, auto-upgrade-node-os-image).
type AutoUpgradeProfile struct {
	// UpgradeChannel is none (the default), patch, stable, rapid or node-image.
	UpgradeChannel string `json:"upgradeChannel,omitempty"`
	// NodeOSUpgradeChannel is None, Unmanaged, SecurityPatch or NodeImage.
	NodeOSUpgradeChannel string `json:"nodeOSUpgradeChannel,omitempty"`
}

// ClusterUpgradeSettings hold the override of an upgrade's gates.
type ClusterUpgradeSettings struct {
	OverrideSettings *UpgradeOverrideSettings `json:"overrideSettings,omitempty"`
}

// UpgradeOverrideSettings let an upgrade pass disruption budgets and the gate of
// deprecated APIs. Without Until they have no effect; Until is compared with the
// start of an upgrade alone (AKS: upgrade-options).
type UpgradeOverrideSettings struct {
	ForceUpgrade bool         `json:"forceUpgrade,omitempty"`
	Until        *metav1.Time `json:"until,omitempty"`
}

// NetworkProfile is the cluster's network. None of it ever changes.
type NetworkProfile struct {
	// NetworkPlugin is kubenet, azure (with NetworkPluginMode overlay) or none: in
	// the last case the customer brings the CNI (D7).
	NetworkPlugin     string `json:"networkPlugin,omitempty"`
	NetworkPluginMode string `json:"networkPluginMode,omitempty"`
	// NetworkPolicy is azure, enforced by Berth's own engine, or none.
	NetworkPolicy    string `json:"networkPolicy,omitempty"`
	NetworkDataplane string `json:"networkDataplane,omitempty"`
	PodCIDR          string `json:"podCidr,omitempty"`
	ServiceCIDR      string `json:"serviceCidr,omitempty"`
	DNSServiceIP     string `json:"dnsServiceIP,omitempty"`
	OutboundType     string `json:"outboundType,omitempty"`
	LoadBalancerSKU  string `json:"loadBalancerSku,omitempty"`
}

// APIServerAccessProfile limits who reaches the API server. Empty ranges mean all.
type APIServerAccessProfile struct {
	AuthorizedIPRanges []string `json:"authorizedIPRanges,omitempty"`
	DisableRunCommand  bool     `json:"disableRunCommand,omitempty"`
}

// ManagedClusterStatus is written by the cluster controller alone.
type ManagedClusterStatus struct {
	// ObservedGeneration is the generation that the rest of the status describes.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// ObservedOperation is the AnnotationOperation that the rest of the status
	// describes: a request that asks for what is asked for already is a new attempt.
	ObservedOperation string            `json:"observedOperation,omitempty"`
	ProvisioningState ProvisioningState `json:"provisioningState,omitempty"`
	PowerState        PowerState        `json:"powerState,omitempty"`
	// CurrentKubernetesVersion is the version that runs, such as 1.36.3. It changes
	// when an upgrade of the control plane has succeeded.
	CurrentKubernetesVersion string `json:"currentKubernetesVersion,omitempty"`
	FQDN                     string `json:"fqdn,omitempty"`
	// ControlPlaneAddress is the address of the API server inside the management
	// cluster (a ClusterIP), which the machines use.
	ControlPlaneAddress string `json:"controlPlaneAddress,omitempty"`
	// APIServerReady is when the API server first answered /readyz since the cluster
	// was created or started; nil while it is stopped.
	APIServerReady *metav1.Time `json:"apiServerReady,omitempty"`
	// Upgrade is the control plane's last change of version, running or ended.
	Upgrade *ControlPlaneUpgrade `json:"upgrade,omitempty"`
	// Rotations are those whose new roots are in force.
	Rotations Rotations `json:"rotations,omitempty"`
	// Error is why ProvisioningState is Failed, in ARM's words.
	Error *OperationError `json:"error,omitempty"`

	// AddonsVersion is the version of Kubernetes whose managed components were
	// applied last. Written by the add-on controller alone.
	AddonsVersion string `json:"addonsVersion,omitempty"`
	// AddonsImages are the images that the managed components in the cluster had when all
	// of them were applied last, by their names in the release catalogue, such as coredns.
	// A cluster that is stopped keeps those that it had (H1). Written by the add-on
	// controller alone.
	AddonsImages map[string]string `json:"addonsImages,omitempty"`
	// ComponentRollout is which images of the managed components the cluster may have (H1).
	// Nil means those that it has. Written by the rollout controller alone.
	ComponentRollout *ClusterRollout `json:"componentRollout,omitempty"`

	// AutoUpgrades tell of each schedule what it did last and does next (X7).
	// Written by the auto-upgrade controller alone.
	// +listType=map
	// +listMapKey=schedule
	AutoUpgrades []AutoUpgradeStatus `json:"autoUpgrades,omitempty"`

	// Initialized says that the control plane has come up once: from then on an etcd
	// without data is one that lost them.
	Initialized bool `json:"initialized,omitempty"`
	// Recovery is the last recovery of etcd's data from backups, running or ended.
	Recovery *ControlPlaneRecovery `json:"recovery,omitempty"`

	// Archive is how far a stopped control plane has been archived, or that it is (J5);
	// nil if nothing of that has begun.
	Archive *ClusterArchive `json:"archive,omitempty"`

	// Replicas is how far the control plane is from one replica to three, or back; nil
	// while it has had one only.
	Replicas *ControlPlaneReplicas `json:"replicas,omitempty"`

	// Proof is the last comparison of the newest backups with etcd, running or ended (X2).
	Proof *BackupProof `json:"proof,omitempty"`

	// Backup tells of the cluster's backups (C3). Written by the backup controller alone.
	Backup *BackupStatus `json:"backup,omitempty"`

	// EtcdCleaning is the last attempt at making room in etcd (A3). Written by the space
	// controller alone.
	EtcdCleaning *EtcdCleaning `json:"etcdCleaning,omitempty"`

	// Support is the cluster's supportability (X1). Written by the support controller alone.
	Support *SupportStatus `json:"support,omitempty"`

	// Advisories are those that affect the cluster now (H1, H2). They are written as a
	// whole by the advisory controller alone.
	// +listType=atomic
	Advisories []ClusterAdvisory `json:"advisories,omitempty"`

	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ArchivePhase is how far the archiving of a control plane has come (J5).
type ArchivePhase string

const (
	// ArchiveNone: nothing has begun.
	ArchiveNone ArchivePhase = ""
	// ArchiveBackup: etcd runs alone, for its final backup.
	ArchiveBackup ArchivePhase = "Backup"
	// ArchiveProve: the backups are compared with it.
	ArchiveProve ArchivePhase = "Prove"
	// ArchiveRelease: they are equal, and its volume goes.
	ArchiveRelease ArchivePhase = "Release"
	// Archived: the backups are all there is. A start makes the rest again.
	Archived ArchivePhase = "Archived"
	// ArchiveFailed: the volume stays, and another attempt follows.
	ArchiveFailed ArchivePhase = "Failed"
)

// ClusterArchive is one attempt at archiving a control plane.
type ClusterArchive struct {
	// ID tells attempts apart.
	ID        string       `json:"id"`
	Phase     ArchivePhase `json:"phase"`
	StartTime metav1.Time  `json:"startTime"`
	// PhaseTime is when the phase began.
	PhaseTime metav1.Time `json:"phaseTime"`
	// Message says what was proven, or what failed, for people.
	Message string `json:"message,omitempty"`
}

// KeepsEtcd says whether etcd runs alone for the archive. A nil one does not.
func (a *ClusterArchive) KeepsEtcd() bool {
	return a != nil && (a.Phase == ArchiveBackup || a.Phase == ArchiveProve)
}

// HasAll says whether the backups hold all that etcd held, so that its volume goes or is gone.
func (a *ClusterArchive) HasAll() bool {
	return a != nil && (a.Phase == ArchiveRelease || a.Phase == Archived)
}

// UpgradePhase is how far a control plane's change of version has come.
type UpgradePhase string

// The phases of a control plane's upgrade, in order.
const (
	UpgradeSnapshot   UpgradePhase = "Snapshot"   // etcd's content is being saved
	UpgradeTrial      UpgradePhase = "Trial"      // an API server of the new version starts beside the control plane
	UpgradeRollOut    UpgradePhase = "RollOut"    // it answers meanwhile; the control plane is replaced
	UpgradeComponents UpgradePhase = "Components" // the new version runs, its components are being applied
	UpgradeRollBack   UpgradePhase = "RollBack"   // it did not come up: the old version is put back
	UpgradeRestore    UpgradePhase = "Restore"    // the old version did not come up either: its data are put back too
	UpgradeIncomplete UpgradePhase = "Incomplete" // the new version runs, but the cluster does not let its components in
	UpgradeSucceeded  UpgradePhase = "Succeeded"  // the new version runs
	UpgradeFailed     UpgradePhase = "Failed"     // the old version runs, again or still
)

// ControlPlaneUpgrade is one change of a control plane's version.
type ControlPlaneUpgrade struct {
	// From and To are exact versions.
	From string `json:"from"`
	To   string `json:"to"`
	// Operation is the AnnotationOperation that asked for it.
	Operation string `json:"operation,omitempty"`
	// Generation is the metadata.generation that asked for it. A failed upgrade is
	// tried again, and an incomplete one goes on, when this or Operation changes.
	Generation int64        `json:"generation,omitempty"`
	Phase      UpgradePhase `json:"phase"`
	// Snapshot names the file in etcd's volume that holds its content before.
	Snapshot   string       `json:"snapshot,omitempty"`
	StartTime  metav1.Time  `json:"startTime"`
	PhaseSince metav1.Time  `json:"phaseSince"`
	EndTime    *metav1.Time `json:"endTime,omitempty"`
	// Message says why it failed or is incomplete, or what keeps its components out
	// of the cluster, for people.
	Message string `json:"message,omitempty"`
}

// UnderWay says whether the upgrade has begun and not ended. A nil upgrade has not.
func (u *ControlPlaneUpgrade) UnderWay() bool {
	return u != nil && u.Phase != UpgradeSucceeded && u.Phase != UpgradeFailed && u.Phase != UpgradeIncomplete
}

// Restores says whether etcd's data are being put back as they were before. A nil one does not.
func (u *ControlPlaneUpgrade) Restores() bool { return u != nil && u.Phase == UpgradeRestore }

// ComponentsVersion is the version of Kubernetes whose managed components belong
// into the cluster: the one that runs, or the one that has just come up.
func (s *ManagedClusterStatus) ComponentsVersion() string {
	if s.Upgrade != nil && s.Upgrade.Phase == UpgradeComponents {
		return s.Upgrade.To
	}
	return s.CurrentKubernetesVersion
}

// AutoUpgradeStatus is one schedule's.
type AutoUpgradeStatus struct {
	// Schedule is aksManagedAutoUpgradeSchedule or aksManagedNodeOSUpgradeSchedule.
	Schedule string `json:"schedule"`
	// NextRun is when the next window opens; nil when nothing is due.
	NextRun *metav1.Time `json:"nextRun,omitempty"`
	// Target is the version or node image that the next run brings.
	Target string `json:"target,omitempty"`
	// LastRun, LastTarget and LastResult are those of the last run.
	LastRun    *metav1.Time `json:"lastRun,omitempty"`
	LastTarget string       `json:"lastTarget,omitempty"`
	LastResult string       `json:"lastResult,omitempty"`
	// Skipped says why nothing runs though something is due.
	Skipped string `json:"skipped,omitempty"`
}

// The condition types of a ManagedCluster.
const (
	ConditionControlPlaneReady = "ControlPlaneReady"
	ConditionAddonsApplied     = "AddonsApplied"
	ConditionAgentPoolsReady   = "AgentPoolsReady"
	// ConditionAddonsContested is true while managed components that are changed again
	// and again are put back with a delay (A7), and absent otherwise. Written by the
	// add-on controller alone.
	ConditionAddonsContested = "AddonsContested"
	// ConditionAddonsReady says whether the managed components run, with the images of
	// addonsImages. Written by the add-on controller alone.
	ConditionAddonsReady = "AddonsReady"
	// ConditionStopped is true while the cluster is stopped; its last transition is
	// since when, which the twelve months of J1 count from.
	ConditionStopped = "Stopped"
	// ConditionBackedUp is false when the newest recovery point is too old, or was never
	// reached. Written by the backup controller alone.
	ConditionBackedUp = "BackedUp"
	// ConditionBackupsProven is false when the newest backups do not give what etcd holds,
	// or nobody has found out for too long (X2).
	ConditionBackupsProven = "BackupsProven"
	// ConditionEtcdHasSpace is false while etcd takes no writes since it is full (A3).
	// Written by the space controller alone.
	ConditionEtcdHasSpace = "EtcdHasSpace"

	// ConditionSupported is true while the support policy covers the cluster (X1).
	ConditionSupported = "Supported"
	// ConditionHighlyAvailable is true while a control plane of tier Standard or Premium
	// does not depend on any one of its replicas (A3).
	ConditionHighlyAvailable = "HighlyAvailable"
	// ConditionCgroupV1 is true when machines run on the deprecated cgroup v1.
	ConditionCgroupV1 = "CgroupV1Deprecated"
)

// ManagedClusterList is a list of clusters.
// +kubebuilder:object:root=true
type ManagedClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ManagedCluster `json:"items"`
}
