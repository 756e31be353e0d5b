package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"berth.dev/berth/api/v1beta1"
)

// CodeScopeLocked is ARM's code for what a lock refuses.
const CodeScopeLocked = "ScopeLocked"

// The longest name and note of a lock, in characters (ARM: management-locks).
const (
	MaxLockName  = 260
	MaxLockNotes = 512
)

// LockedRequest is a request as locks see it.
type LockedRequest struct {
	// Method is HTTP's. Scope is the ARM id that the request is about.
	Method, Scope string
	// Reads marks a POST that changes nothing, such as listing credentials.
	Reads bool
}

// lockRule says what locks of one level refuse (X3).
type lockRule struct {
	level  v1beta1.LockLevel
	method string
	// verb is ARM's word for the request.
	verb string
	// below makes locks count that are below the request's scope; those at it and above
	// it always do.
	below bool
}

// lockRules has every refusal; what it does not have is allowed. A POST is a write for
// ARM, whatever it does: who lists credentials can write with them.
var lockRules = []lockRule{
	{v1beta1.LockCanNotDelete, "DELETE", "delete", true},
	{v1beta1.LockReadOnly, "DELETE", "delete", true},
	{v1beta1.LockReadOnly, "PUT", "write", false},
	{v1beta1.LockReadOnly, "PATCH", "write", false},
	{v1beta1.LockReadOnly, "POST", "write", false},
}

// LockRefusal is why a request is refused: the locks that are in its way.
type LockRefusal struct {
	// Scope is the request's, Verb is delete or write.
	Scope, Verb string
	Locks       []v1beta1.ManagementLock
}

// RefusedByLocks returns the locks in the way of a request, nil if there are none. The
// locks and groups are all of its subscription's: a request about a cluster is about its
// node resource group as well (G1).
func RefusedByLocks(request LockedRequest, locks []v1beta1.ManagementLock, groups []v1beta1.ResourceGroup) *LockRefusal {
	scopes := append([]string{request.Scope}, nodeGroups(request, groups)...)
	refusal := &LockRefusal{Scope: request.Scope}
	for _, lock := range locks {
		for _, rule := range lockRules {
			if rule.level == lock.Spec.Level && rule.method == request.Method &&
				slices.ContainsFunc(scopes, func(scope string) bool {
					return ScopeWithin(scope, lock.Spec.Scope) || rule.below && ScopeWithin(lock.Spec.Scope, scope)
				}) {
				refusal.Verb, refusal.Locks = rule.verb, append(refusal.Locks, lock)
			}
		}
	}
	if len(refusal.Locks) == 0 {
		return nil
	}
	return refusal
}

// nodeGroups are the node resource groups that a request reaches.
func nodeGroups(request LockedRequest, groups []v1beta1.ResourceGroup) []string {
	if request.Reads {
		return nil
	}
	var reached []string
	for i := range groups {
		cluster := groups[i].Spec.ManagedBy
		if cluster != "" && (ScopeWithin(request.Scope, cluster) || request.Method == "DELETE" && ScopeWithin(cluster, request.Scope)) {
			reached = append(reached, GroupID(&groups[i]))
		}
	}
	return reached
}

// ScopeWithin says whether an ARM id is another one or lies below it.
func ScopeWithin(id, above string) bool {
	id, above = strings.ToLower(strings.Trim(id, "/")), strings.ToLower(strings.Trim(above, "/"))
	return id == above || strings.HasPrefix(id, above+"/")
}

// GroupID is the ARM id of a resource group, in the customer's casing.
func GroupID(group *v1beta1.ResourceGroup) string {
	return "/subscriptions/" + strings.TrimPrefix(group.Namespace, v1beta1.SubscriptionNamespace("")) + "/resourceGroups/" + group.Spec.Name
}

// Message is ARM's text.
func (r *LockRefusal) Message() string {
	scopes := make([]string, 0, len(r.Locks))
	for _, lock := range r.Locks {
		if !slices.Contains(scopes, lock.Spec.Scope) {
			scopes = append(scopes, lock.Spec.Scope)
		}
	}
	slices.Sort(scopes)
	return fmt.Sprintf("The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove the lock and try again.",
		r.Scope, r.Verb, strings.Join(scopes, ","))
}

// ValidateLock refuses names, levels and notes that ARM does not take.
func ValidateLock(spec v1beta1.ManagementLockSpec) []Violation {
	var found violations
	if spec.Name == "" || utf8.RuneCountInString(spec.Name) > MaxLockName ||
		strings.ContainsAny(spec.Name, `<>%&:\?/`) || strings.ContainsFunc(spec.Name, unicode.IsControl) {
		found.add(CodeInvalidParameter, "lockName",
			`The value of parameter lockName is invalid: a lock's name has 1 to %d characters, and none of < > %% & : \ ? / or of control characters.`, MaxLockName)
	}
	if spec.Level != v1beta1.LockCanNotDelete && spec.Level != v1beta1.LockReadOnly {
		found.add(CodeInvalidParameter, "level", "The value of parameter level is invalid. It must be '%s' or '%s'.", v1beta1.LockCanNotDelete, v1beta1.LockReadOnly)
	}
	if utf8.RuneCountInString(spec.Notes) > MaxLockNotes {
		found.add(CodeInvalidParameter, "notes", "The value of parameter notes is invalid: it has more than %d characters.", MaxLockNotes)
	}
	return found
}
