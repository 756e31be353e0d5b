package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "berth.dev", Version: "v1beta1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Subscription{}, &SubscriptionList{},
		&ResourceGroup{}, &ResourceGroupList{},
		&ManagedCluster{}, &ManagedClusterList{},
		&AgentPool{}, &AgentPoolList{},
		&Machine{}, &MachineList{},
		&Operation{}, &OperationList{},
		&MaintenanceConfiguration{}, &MaintenanceConfigurationList{},
		&Snapshot{}, &SnapshotList{},
		&DeletedCluster{}, &DeletedClusterList{},
		&ManagementLock{}, &ManagementLockList{},
		&VirtualMachineScaleSet{}, &VirtualMachineScaleSetList{},
		&SupportTicket{}, &SupportTicketList{},
		&ActivityLogEntry{}, &ActivityLogEntryList{},
		&EventSubscription{}, &EventSubscriptionList{},
		&EventDelivery{}, &EventDeliveryList{},
		&Advisory{}, &AdvisoryList{},
		&KnownIssue{}, &KnownIssueList{},
		&ComponentRollout{}, &ComponentRolloutList{},
		&SupportAccess{}, &SupportAccessList{},
		&SupportAccessRecord{}, &SupportAccessRecordList{},
		&ServicePolicy{}, &ServicePolicyList{},
		&ManagementCluster{}, &ManagementClusterList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
