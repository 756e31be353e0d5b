package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// InstanceAction is what is done to a machine through the IaaS view, as an instance of
// its pool's scale set (G1). The names are those of Microsoft.Compute's actions.
// +kubebuilder:validation:Enum=Start;Deallocate;PowerOff;Restart;Reimage;Redeploy;Delete;RunCommand
type InstanceAction string

// The actions.
const (
	InstanceStart      InstanceAction = "Start"
	InstanceDeallocate InstanceAction = "Deallocate" // it is stopped, and nothing of it is kept
	InstancePowerOff   InstanceAction = "PowerOff"   // as Deallocate, under another name
	InstanceRestart    InstanceAction = "Restart"    // it starts again with its disks
	InstanceReimage    InstanceAction = "Reimage"    // it is made anew of its image
	InstanceRedeploy   InstanceAction = "Redeploy"   // as Reimage, on another host where there is one
	InstanceDelete     InstanceAction = "Delete"     // it is gone, without a drain, and its pool has one fewer
	InstanceRunCommand InstanceAction = "RunCommand" // a script runs in it
)

// InstanceRequest is the last action that was asked for.
type InstanceRequest struct {
	Action InstanceAction `json:"action"`
	// Operation is the Operation that asks.
	Operation string `json:"operation"`
	// Time is when it was asked for and RequestedBy by whom: the client id of an
	// application or the principal name of a user.
	Time        metav1.Time `json:"time"`
	RequestedBy string      `json:"requestedBy,omitempty"`
}

// InstanceProgress is how far the last action has come.
type InstanceProgress struct {
	// Operation is the request's.
	Operation string              `json:"operation"`
	Action    InstanceAction      `json:"action"`
	State     OperationStatusCode `json:"state"`
	// Incarnation, Boots and Host are the machine's when the action was begun, so that it
	// is done once; Replaced says that what was there is gone.
	Incarnation string `json:"incarnation,omitempty"`
	Boots       int32  `json:"boots,omitempty"`
	Host        string `json:"host,omitempty"`
	Replaced    bool   `json:"replaced,omitempty"`
	// Reached says that a pod of the customer's reached into the node when a script began,
	// or that nobody could tell: the files that it changes count for nobody (G5).
	Reached bool            `json:"reached,omitempty"`
	Error   *OperationError `json:"error,omitempty"`
}

// InstancePower is what the IaaS view says of a machine that is off.
type InstancePower string

// The states of a machine that was stopped through the IaaS view.
const (
	InstanceDeallocated InstancePower = "Deallocated"
	InstanceStopped     InstancePower = "Stopped"
)

// InstanceOff says that a machine was stopped through the IaaS view, by whom and when
// (B3). It ends when the machine is started, or made anew by the service.
type InstanceOff struct {
	Power       InstancePower `json:"power"`
	Since       metav1.Time   `json:"since"`
	RequestedBy string        `json:"requestedBy,omitempty"`
}

// ChangedFiles are files of a machine's image that a script changed which was run
// through the IaaS view (G2). They end with the file system: at the machine's next start.
type ChangedFiles struct {
	Time        metav1.Time `json:"time"`
	RequestedBy string      `json:"requestedBy,omitempty"`
	// Paths are some of the files, in order, and Count is how many there are.
	Paths []string `json:"paths"`
	Count int32    `json:"count"`
	// Incarnation and Boots are the machine's that has them.
	Incarnation string `json:"incarnation"`
	Boots       int32  `json:"boots"`
}

// RemovedInstance is a machine that was deleted through the IaaS view (G4).
type RemovedInstance struct {
	NodeName    string      `json:"nodeName"`
	Time        metav1.Time `json:"time"`
	RequestedBy string      `json:"requestedBy,omitempty"`
}

// AnnotationSystemTags on the ResourceGroup of a cluster's nodes has, as JSON, the tags
// that the service put there; AnnotationTagsChanged says who changed tags and when,
// a TagsChanged as JSON (B4).
const (
	AnnotationSystemTags  = "berth.dev/system-tags"
	AnnotationTagsChanged = "berth.dev/tags-changed"
)

// TagsChanged is who changed a resource's tags and when: the last or, while the system's
// are not as it made them, the first.
type TagsChanged struct {
	Time metav1.Time `json:"time"`
	By   string      `json:"by"`
}

// VirtualMachineScaleSet is what was changed of a pool's scale set through the IaaS view:
// its tags. Its name is the pool's, which owns it. A pool without one has the tags that
// the service gives its scale set.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vmss
type VirtualMachineScaleSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineScaleSetSpec `json:"spec"`
}

// VirtualMachineScaleSetSpec is what the customer asked for.
type VirtualMachineScaleSetSpec struct {
	// Tags are all that the scale set has.
	Tags map[string]string `json:"tags"`
	// Changed is who changed them last or, while the system's are not as it made them, first.
	Changed TagsChanged `json:"changed"`
	// PoolOperation is the pool's AnnotationOperation at that time: what was changed
	// does not outlive the pool's next change through the service (G2).
	PoolOperation string `json:"poolOperation,omitempty"`
}

// VirtualMachineScaleSetList is a list of scale sets.
// +kubebuilder:object:root=true
type VirtualMachineScaleSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualMachineScaleSet `json:"items"`
}

// RunCommandSecret is the Secret with the script of an Operation that runs one in a
// machine, and with what came of it. The Operation owns it. Its keys are RunCommandScript
// and RunCommandResult.
func RunCommandSecret(operation string) string { return "run-" + operation }

// The keys of a RunCommandSecret: a RunCommand and a RunCommandOutput, as JSON.
const (
	RunCommandScript = "command"
	RunCommandResult = "result"
)

// RunCommand is a script that runs in a machine as root.
type RunCommand struct {
	Script string `json:"script"`
	// Arguments are the script's, in order, and Environment its variables, NAME=value.
	Arguments   []string `json:"arguments,omitempty"`
	Environment []string `json:"environment,omitempty"`
}

// RunCommandOutput is what came of a script: how it ended, and the last of what it wrote.
type RunCommandOutput struct {
	ExitCode int    `json:"exitCode"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
}

// The levels of NodeResourceGroupProfile (AKS: node-resource-group-lockdown).
const (
	RestrictionReadOnly     = "ReadOnly"
	RestrictionUnrestricted = "Unrestricted"
)

// NodeResourceGroupProfile is the lockdown of the node resource group.
type NodeResourceGroupProfile struct {
	// RestrictionLevel is ReadOnly or Unrestricted; empty means Unrestricted.
	RestrictionLevel string `json:"restrictionLevel,omitempty"`
}
