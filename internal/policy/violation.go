package policy

import "fmt"

// Violation is one reason to refuse a request, in ARM's words.
type Violation struct {
	// Code is AKS's error code, Target the path of the field at fault.
	Code, Target, Message string
	// Subcode tells more of a code that is used for many things.
	Subcode string
}

// Error makes a Violation usable as an error.
func (v Violation) Error() string { return v.Code + ": " + v.Message }

// Error codes of AKS (reference: azure-wire, section 3).
const (
	CodeInvalidParameter        = "InvalidParameter"
	CodeBadRequest              = "BadRequest"
	CodeOperationNotAllowed     = "OperationNotAllowed"
	CodeVersionNotSupported     = "K8sVersionNotSupported"
	CodePoolVersionNotSupported = "AgentPoolK8sVersionNotSupported"
	CodePoolNewerThanCluster    = "NodePoolMcVersionIncompatible"
	CodePoolUpgradePath         = "AgentPoolUpgradeVersionNotAllowed"
	CodeUnsatisfiablePDB        = "UnsatisfiablePDB"
	CodeValidationError         = "ValidationError"
	CodeNotAllPools             = "NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged"
	CodePropertyChange          = "PropertyChangeNotAllowed"
	CodeSystemPoolTaints        = "SystemPoolHasRestrictedTaint"
	CodeReservedName            = "ReservedResourceName"
	CodeLocation                = "NoRegisteredProviderFound"
	CodeQuotaExceeded           = "QuotaExceeded"
	CodeClusterCount            = "ManagedClusterCountExceedsQuotaLimit"
)

// SubcodeDeprecatedAPI is that of CodeValidationError for APIs that a new version
// does not have.
const SubcodeDeprecatedAPI = "UpgradeBlockedOnDeprecatedAPIUsage"

// violations collects the reasons of one request.
type violations []Violation

func (v *violations) add(code, target, format string, args ...any) {
	*v = append(*v, Violation{Code: code, Target: target, Message: fmt.Sprintf(format, args...)})
}
