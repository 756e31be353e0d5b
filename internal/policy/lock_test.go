package policy

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

const (
	lockSub      = "/subscriptions/s1"
	lockGroup    = lockSub + "/resourceGroups/RG1"
	lockCluster  = lockGroup + "/providers/Microsoft.ContainerService/managedClusters/c1"
	lockPool     = lockCluster + "/agentPools/np1"
	lockSibling  = lockCluster + "2"
	lockOther    = lockSub + "/resourceGroups/rg11"
	lockNodes    = lockSub + "/resourceGroups/MC_RG1_c1_westus2"
	lockNewThing = lockGroup + "/providers/Microsoft.ContainerService/managedClusters/new"
)

func lockAt(scope string, level v1beta1.LockLevel) v1beta1.ManagementLock {
	return v1beta1.ManagementLock{Spec: v1beta1.ManagementLockSpec{Name: "l", Scope: scope, Level: level}}
}

func lockedGroups() []v1beta1.ResourceGroup {
	group := func(name, manager string) v1beta1.ResourceGroup {
		return v1beta1.ResourceGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-s1"}, Spec: v1beta1.ResourceGroupSpec{Name: name, ManagedBy: manager}}
	}
	return []v1beta1.ResourceGroup{group("RG1", ""), group("rg11", ""), group("MC_RG1_c1_westus2", lockCluster)}
}

// Every method against every level, at, above, below and beside the request's scope.
// The first word is what is refused: "" nothing.
func TestLocksRefuse(t *testing.T) {
	type want map[string]string // of GET, PUT, PATCH, POST, DELETE
	all := want{"PUT": "write", "PATCH": "write", "POST": "write", "DELETE": "delete"}
	deletion := want{"DELETE": "delete"}
	for _, c := range []struct {
		why, scope, lock string
		level            v1beta1.LockLevel
		want             want
	}{
		{"a lock holds what it is at", lockCluster, lockCluster, v1beta1.LockCanNotDelete, deletion},
		{"a lock holds what it is at", lockCluster, lockCluster, v1beta1.LockReadOnly, all},
		{"a group's lock is inherited", lockPool, lockGroup, v1beta1.LockCanNotDelete, deletion},
		{"a group's lock is inherited", lockPool, lockGroup, v1beta1.LockReadOnly, all},
		{"a subscription's lock is inherited", lockGroup, lockSub, v1beta1.LockCanNotDelete, deletion},
		{"a subscription's lock is inherited", lockGroup, lockSub, v1beta1.LockReadOnly, all},
		{"nothing new in what is read-only", lockNewThing, lockGroup, v1beta1.LockReadOnly, all},
		{"what holds something locked cannot go", lockGroup, lockPool, v1beta1.LockCanNotDelete, deletion},
		{"it can be changed", lockGroup, lockPool, v1beta1.LockReadOnly, deletion},
		{"ids have no case", strings.ToUpper(lockCluster), strings.ToLower(lockGroup), v1beta1.LockCanNotDelete, deletion},
		{"a longer name is another cluster", lockSibling, lockCluster, v1beta1.LockReadOnly, nil},
		{"a longer name is another group", lockOther, lockGroup, v1beta1.LockReadOnly, nil},
		{"a pool's lock is not its cluster's siblings'", lockSibling, lockPool, v1beta1.LockReadOnly, nil},
		{"a cluster's nodes go with it (G1)", lockCluster, lockNodes, v1beta1.LockCanNotDelete, deletion},
		{"a change reaches the nodes (G1)", lockPool, lockNodes, v1beta1.LockReadOnly, all},
		{"a group's nodes go with it (G1)", lockGroup, lockNodes, v1beta1.LockCanNotDelete, deletion},
		{"a group's tags do not reach nodes", lockGroup, lockNodes, v1beta1.LockReadOnly, deletion},
		{"another cluster's nodes", lockSibling, lockNodes, v1beta1.LockReadOnly, nil},
		{"a level that nobody knows refuses nothing", lockCluster, lockCluster, "NotSpecified", nil},
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"} {
			got := ""
			refusal := RefusedByLocks(LockedRequest{Method: method, Scope: c.scope}, []v1beta1.ManagementLock{lockAt(c.lock, c.level)}, lockedGroups())
			if refusal != nil {
				got = refusal.Verb
			}
			if got != c.want[method] {
				t.Errorf("%s: %s of %s with %s at %s: refused as %q, want %q", c.why, method, c.scope, c.level, c.lock, got, c.want[method])
			}
		}
	}
}

// Credentials are of the cluster, not of its nodes: a read-only cluster gives none (ARM
// knows no POST that reads), a read-only node resource group does not matter.
func TestListingCredentialsOfWhatIsLocked(t *testing.T) {
	request := LockedRequest{Method: "POST", Scope: lockCluster, Reads: true}
	if RefusedByLocks(request, []v1beta1.ManagementLock{lockAt(lockCluster, v1beta1.LockReadOnly)}, lockedGroups()) == nil {
		t.Error("a read-only cluster gave credentials")
	}
	if RefusedByLocks(request, []v1beta1.ManagementLock{lockAt(lockNodes, v1beta1.LockReadOnly)}, lockedGroups()) != nil {
		t.Error("a read-only node resource group keeps credentials back")
	}
}

// No row is there for nothing: each refuses what no other one does.
func TestEveryLockRuleMatters(t *testing.T) {
	for i, rule := range lockRules {
		if slices.ContainsFunc(slices.Delete(slices.Clone(lockRules), i, i+1), func(other lockRule) bool {
			return other.level == rule.level && other.method == rule.method
		}) {
			t.Errorf("two rows for %s %s", rule.level, rule.method)
		}
		if RefusedByLocks(LockedRequest{Method: rule.method, Scope: lockCluster}, []v1beta1.ManagementLock{lockAt(lockGroup, rule.level)}, nil) == nil {
			t.Errorf("%s does not refuse %s", rule.level, rule.method)
		}
	}
}

func TestLockRefusalNamesEachScopeOnce(t *testing.T) {
	refusal := RefusedByLocks(LockedRequest{Method: "DELETE", Scope: lockCluster}, []v1beta1.ManagementLock{
		lockAt(lockGroup, v1beta1.LockReadOnly), lockAt(lockGroup, v1beta1.LockCanNotDelete), lockAt(lockSub, v1beta1.LockCanNotDelete),
	}, nil)
	want := "The scope '" + lockCluster + "' cannot perform delete operation because following scope(s) are locked: '" +
		lockSub + "," + lockGroup + "'. Please remove the lock and try again."
	if got := refusal.Message(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestValidateLock(t *testing.T) {
	valid := v1beta1.ManagementLockSpec{Name: "keep it, (really) é", Level: v1beta1.LockReadOnly}
	if found := ValidateLock(valid); len(found) > 0 {
		t.Errorf("%v", found)
	}
	for _, c := range []struct {
		why, target string
		change      func(*v1beta1.ManagementLockSpec)
	}{
		{"a name is needed", "lockName", func(s *v1beta1.ManagementLockSpec) { s.Name = "" }},
		{"a name ends somewhere", "lockName", func(s *v1beta1.ManagementLockSpec) { s.Name = strings.Repeat("é", MaxLockName+1) }},
		{"a name is one segment of a path", "lockName", func(s *v1beta1.ManagementLockSpec) { s.Name = "a/b" }},
		{"a name is printed", "lockName", func(s *v1beta1.ManagementLockSpec) { s.Name = "a\nb" }},
		{"a lock without a level would hold nothing", "level", func(s *v1beta1.ManagementLockSpec) { s.Level = "" }},
		{"ARM lists this level and never takes it", "level", func(s *v1beta1.ManagementLockSpec) { s.Level = "NotSpecified" }},
		{"notes end somewhere", "notes", func(s *v1beta1.ManagementLockSpec) { s.Notes = strings.Repeat("x", MaxLockNotes+1) }},
	} {
		spec := valid
		c.change(&spec)
		if found := ValidateLock(spec); len(found) != 1 || found[0].Target != c.target {
			t.Errorf("%s: %v", c.why, found)
		}
	}
}
