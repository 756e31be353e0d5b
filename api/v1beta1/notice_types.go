package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Affected says which clusters a flaw or an issue is in: those that have any of what is
// listed. A range holds from the version that it names, without one from the oldest,
// up to the one that is without the flaw, if there is one.
//
// +kubebuilder:validation:XValidation:rule="has(self.components) || has(self.kubernetes) || has(self.nodeImages) || has(self.packages)",message="name components, kubernetes, nodeImages or packages"
type Affected struct {
	// Condition narrows it to clusters that have this condition of a ManagedCluster, True.
	// +kubebuilder:validation:MaxLength=128
	Condition string `json:"condition,omitempty"`
	// Components are managed components, by their names in the release catalogue, such as
	// coredns, and the tags of their images.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Components []AffectedPart `json:"components,omitempty"`
	// Kubernetes are versions of control planes and node pools, such as 1.36.3.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Kubernetes []AffectedRange `json:"kubernetes,omitempty"`
	// NodeImages are versions of the node image.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	NodeImages []AffectedRange `json:"nodeImages,omitempty"`
	// Packages are in node images: Debian's, or what the release catalogue lists as a
	// component of theirs, such as containerd.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Packages []AffectedPart `json:"packages,omitempty"`
}

// AffectedRange is a range of versions.
type AffectedRange struct {
	// From is the first version with the flaw; empty for the oldest.
	// +kubebuilder:validation:MaxLength=128
	From string `json:"from,omitempty"`
	// Fixed is the first one without; empty if there is none yet.
	// +kubebuilder:validation:MaxLength=128
	Fixed string `json:"fixed,omitempty"`
}

// AffectedPart is a range of versions of something that has a name.
type AffectedPart struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name          string `json:"name"`
	AffectedRange `json:",inline"`
}

// Advisory tells of a flaw in what the service manages (H1, H2). The operator of Berth
// publishes it once; clusters that have the flaw show it in status.advisories.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Severity",type=string,JSONPath=`.spec.severity`
// +kubebuilder:printcolumn:name="Affected",type=integer,JSONPath=`.status.affectedClusters`
// +kubebuilder:printcolumn:name="Published",type=date,JSONPath=`.spec.published`
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.spec.title`
type Advisory struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AdvisorySpec   `json:"spec"`
	Status AdvisoryStatus `json:"status,omitempty"`
}

// AdvisorySpec is written by the operator of Berth.
type AdvisorySpec struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	Title string `json:"title"`
	// Severity is how bad it is.
	// +kubebuilder:validation:Enum=Critical;High;Medium;Low
	Severity string `json:"severity"`
	// Vulnerabilities are the flaw's public names, such as CVE-2026-1234. Triage of
	// scanners' reports finds the advisory by them (X6).
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	Vulnerabilities []string `json:"vulnerabilities,omitempty"`
	// Published is when it was; the moment of its creation if not given.
	Published *metav1.Time `json:"published,omitempty"`
	// FixDate is when the vendor's fix came out. It goes before what scanners say (D12).
	FixDate  *metav1.Time `json:"fixDate,omitempty"`
	Affected Affected     `json:"affected"`
	// Impact says what the flaw lets happen, and Steps what owners of clusters do about it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Impact string `json:"impact"`
	// +kubebuilder:validation:MaxLength=2000
	Steps string `json:"steps,omitempty"`
	// Links are where more is said.
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=500
	// +listType=atomic
	Links []string `json:"links,omitempty"`
}

// AdvisoryStatus is written by the advisory controller alone.
type AdvisoryStatus struct {
	// AffectedClusters is how many clusters have the flaw now.
	AffectedClusters int32 `json:"affectedClusters"`
}

// ClusterAdvisory is an advisory that affects a cluster.
type ClusterAdvisory struct {
	// Name is the Advisory's.
	Name string `json:"name"`
	// Clause is H1 for a managed component and H2 for nodes.
	Clause string `json:"clause"`
	// Turn says who acts next: Service, Customer, or "Customer, Service" where both have something to do.
	Turn string `json:"turn"`
	// Evidence is what in the cluster has the flaw, and Next what is done about it.
	Evidence string `json:"evidence"`
	Next     string `json:"next"`
	// Since is when it was first seen, and Announced when the cluster's owners were told.
	Since     metav1.Time  `json:"since"`
	Announced *metav1.Time `json:"announced,omitempty"`
}

// AdvisoryList is a list of advisories.
// +kubebuilder:object:root=true
type AdvisoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Advisory `json:"items"`
}

// KnownIssue tells of a bug that is not fixed yet, and how to live with it (M1, M2). Those
// that Berth comes with are in internal/policy/notice; one of the same name replaces it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.spec.title`
// +kubebuilder:printcolumn:name="Fixed In",type=string,JSONPath=`.spec.fixedIn`
type KnownIssue struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec KnownIssueSpec `json:"spec"`
}

// KnownIssueSpec is written by the operator of Berth.
type KnownIssueSpec struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	Title string `json:"title"`
	// Description says what happens.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2000
	Description string `json:"description"`
	// Links are upstream's: the bug, and its fix where there is one.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=500
	// +listType=atomic
	Links    []string `json:"links"`
	Affected Affected `json:"affected"`
	// Topics are the problems of tickets that it may be behind, by the names of their
	// classifications; none means all.
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	Topics []string `json:"topics,omitempty"`
	// Workaround says how to live with it; empty if there is no way.
	// +kubebuilder:validation:MaxLength=2000
	Workaround string `json:"workaround,omitempty"`
	// AfterUpgrade says what becomes of the workaround when the cluster or its nodes are
	// upgraded.
	// +kubebuilder:validation:Enum=Kept;Lost
	AfterUpgrade string `json:"afterUpgrade,omitempty"`
	// Timeline says roughly when it will be fixed, and FixedIn the version that does.
	// +kubebuilder:validation:MaxLength=500
	Timeline string `json:"timeline,omitempty"`
	// +kubebuilder:validation:MaxLength=128
	FixedIn string `json:"fixedIn,omitempty"`
}

// KnownIssueList is a list of known issues.
// +kubebuilder:object:root=true
type KnownIssueList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KnownIssue `json:"items"`
}
