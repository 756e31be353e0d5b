package v1beta1

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LockLevel says what a lock refuses.
// +kubebuilder:validation:Enum=CanNotDelete;ReadOnly
type LockLevel string

// The levels of a lock (ARM: Microsoft.Authorization/locks).
const (
	// LockCanNotDelete refuses deletion.
	LockCanNotDelete LockLevel = "CanNotDelete"
	// LockReadOnly refuses deletion, changes and actions.
	LockReadOnly LockLevel = "ReadOnly"
)

// ManagementLock protects a subscription, a resource group or a resource, and all that is
// below it (X3). It is owned by the object that it locks and goes with it. Its object name
// is LockObjectName(spec.scope, spec.name).
//
// +kubebuilder:object:root=true
// +kubebuilder:printcolumn:name="Level",type=string,JSONPath=`.spec.level`
// +kubebuilder:printcolumn:name="Lock",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scope`
type ManagementLock struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ManagementLockSpec `json:"spec"`
}

// ManagementLockSpec is what the customer asked for.
type ManagementLockSpec struct {
	// Name in the customer's own casing.
	Name string `json:"name"`
	// Scope is the ARM id of what is locked.
	Scope  string      `json:"scope"`
	Level  LockLevel   `json:"level"`
	Notes  string      `json:"notes,omitempty"`
	Owners []LockOwner `json:"owners,omitempty"`
}

// LockOwner is an application that a lock belongs to, for information.
type LockOwner struct {
	ApplicationID string `json:"applicationId"`
}

// ManagementLockList is a list of locks.
// +kubebuilder:object:root=true
type ManagementLockList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ManagementLock `json:"items"`
}

// LockObjectName is the Kubernetes name of a lock: ids are too long to be one.
func LockObjectName(scope, name string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(scope + "/" + name)))
	return "lock-" + hex.EncodeToString(sum[:10])
}
