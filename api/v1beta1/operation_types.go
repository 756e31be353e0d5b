package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// OperationType says what an operation does to its target.
// +kubebuilder:validation:Enum=Put;Delete;Abort;Instances
type OperationType string

// The operation types.
const (
	OperationPut    OperationType = "Put"
	OperationDelete OperationType = "Delete"
	// OperationAbort ends another operation on the same target as Canceled.
	OperationAbort OperationType = "Abort"
	// OperationInstances does something to instances of a scale set (G1).
	OperationInstances OperationType = "Instances"
)

// OperationStatusCode is ARM's status of an asynchronous operation.
type OperationStatusCode string

// The statuses of an operation.
const (
	OperationInProgress OperationStatusCode = "InProgress"
	OperationSucceeded  OperationStatusCode = "Succeeded"
	OperationFailed     OperationStatusCode = "Failed"
	OperationCanceled   OperationStatusCode = "Canceled"
)

// TargetKind is the kind of resource an operation works on.
// +kubebuilder:validation:Enum=ManagedCluster;AgentPool;ResourceGroup;VirtualMachineScaleSet
type TargetKind string

// The kinds that asynchronous operations work on.
const (
	TargetManagedCluster TargetKind = "ManagedCluster"
	TargetAgentPool      TargetKind = "AgentPool"
	TargetResourceGroup  TargetKind = "ResourceGroup"
	// TargetScaleSet is a pool's scale set; the target's name is the pool's.
	TargetScaleSet TargetKind = "VirtualMachineScaleSet"
)

// Operation is one asynchronous request. It is written before the request's
// first side effect and carries all that is needed to finish it, so that a
// process that dies anywhere leaves nothing half-made. Its name is the GUID in
// the Azure-AsyncOperation header.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=op
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.target.kind`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target.name`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
type Operation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   OperationSpec   `json:"spec"`
	Status OperationStatus `json:"status,omitempty"`
}

// OperationSpec is written once, by whoever took the request.
// +kubebuilder:validation:XValidation:rule="self.type != 'Instances' || has(self.instances)",message="an Instances operation must say what it asks of which machines"
type OperationSpec struct {
	Type OperationType `json:"type"`
	// State is the provisioningState of the target while the operation runs.
	State  ProvisioningState `json:"state"`
	Target OperationTarget   `json:"target"`
	// Desired is what a Put makes of the target.
	Desired *DesiredState `json:"desired,omitempty"`
	// Instances is what an Instances operation does.
	Instances *InstancesOperation `json:"instances,omitempty"`
	// Aborts names the Operation that an Abort ends.
	Aborts string `json:"aborts,omitempty"`
	// RequestedBy is who asked: the client id of an application, the principal
	// name of a user, or berth/autoupgrade.
	RequestedBy string `json:"requestedBy,omitempty"`
	// CorrelationID ties the operation to the request that asked for it.
	CorrelationID string `json:"correlationId,omitempty"`
	// RequestID names the request's entry in the activity log; empty for what Berth asked
	// for itself, whose entry has the operation's name.
	RequestID string `json:"requestId,omitempty"`
}

// InstancesOperation is an action on machines of a pool.
type InstancesOperation struct {
	Action InstanceAction `json:"action"`
	// Machines are object names.
	Machines []string `json:"machines"`
}

// Asks says whether the operation asks machines for this action; nil asks for nothing.
func (o *InstancesOperation) Asks(action InstanceAction) bool {
	return o != nil && o.Action == action
}

// OperationTarget names the resource, in the operation's own namespace.
type OperationTarget struct {
	Kind TargetKind `json:"kind"`
	// Name is the object name.
	Name string `json:"name"`
	// ResourceID is the ARM id in the customer's casing.
	ResourceID string `json:"resourceId"`
}

// DesiredState holds full specs: of the cluster and of every pool that the
// request writes. Pools that it does not name stay as they are.
type DesiredState struct {
	Cluster    *ManagedClusterSpec `json:"cluster,omitempty"`
	AgentPools []AgentPoolSpec     `json:"agentPools,omitempty"`
}

// OperationStatus is written by the operation controller alone.
type OperationStatus struct {
	Status    OperationStatusCode `json:"status,omitempty"`
	StartTime *metav1.Time        `json:"startTime,omitempty"`
	EndTime   *metav1.Time        `json:"endTime,omitempty"`
	Error     *OperationError     `json:"error,omitempty"`
}

// OperationError is an ARM error body.
type OperationError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target,omitempty"`
}

// OperationList is a list of operations.
// +kubebuilder:object:root=true
type OperationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Operation `json:"items"`
}
