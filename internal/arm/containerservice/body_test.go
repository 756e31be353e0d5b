package containerservice

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

var catalogue = &release.Catalogue{Releases: []release.Release{{Version: "1.37.2", State: release.Supported, Default: true}, {Version: "1.36.3", State: release.Supported}}}

// full is a cluster that uses every field that there is.
func full() *view {
	two, ten, until := int32(2), int32(10), metav1.NewTime(time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC))
	cluster := &v1beta1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{UID: "0-1", Generation: 3},
		Spec: v1beta1.ManagedClusterSpec{
			ResourceGroup: "rg1", Name: "C1", Location: "westus2", ID: "abcdefabcdef", Tags: map[string]string{"a": "b"},
			KubernetesVersion: "1.37", DNSPrefix: "c1", NodeResourceGroup: "MC", DisableLocalAccounts: true,
			SKU: &v1beta1.SKU{Name: "Base", Tier: "Free"}, Identity: &v1beta1.Identity{Type: "UserAssigned", UserAssignedIdentities: []string{"/x/id1", "/x/id2"}},
			LinuxProfile:             &v1beta1.LinuxProfile{AdminUsername: "me", SSHPublicKeys: []string{"ssh-ed25519 AAAA me", "ssh-rsa AAAA"}},
			NodeResourceGroupProfile: &v1beta1.NodeResourceGroupProfile{RestrictionLevel: v1beta1.RestrictionReadOnly},
			APIServerAccess:          &v1beta1.APIServerAccessProfile{AuthorizedIPRanges: []string{"10.1.0.0/16"}, DisableRunCommand: true},
			UpgradeSettings:          &v1beta1.ClusterUpgradeSettings{OverrideSettings: &v1beta1.UpgradeOverrideSettings{ForceUpgrade: true, Until: &until}},
		},
		Status: v1beta1.ManagedClusterStatus{CurrentKubernetesVersion: "1.37.2", FQDN: "f", ProvisioningState: v1beta1.StateSucceeded, ObservedGeneration: 3},
	}
	policy.DefaultCluster(&cluster.Spec)
	pool := v1beta1.AgentPool{Spec: v1beta1.AgentPoolSpec{ResourceGroup: "rg1", ClusterName: "C1", AgentPoolProfile: v1beta1.AgentPoolProfile{
		Name: "np1", Count: &two, Mode: "System", NodeLabels: map[string]string{"l": "v"}, NodeTaints: []string{"CriticalAddonsOnly=true:NoSchedule"},
		Tags: map[string]string{"t": "u"}, UpgradeSettings: &v1beta1.UpgradeSettings{
			MaxSurge: "33%", MaxUnavailable: "0", UndrainableNodeBehavior: "Cordon", DrainTimeoutInMinutes: &ten, NodeSoakDurationInMinutes: &two,
		},
		CreationData: &v1beta1.CreationData{SourceResourceID: "/subscriptions/s/snapshots/s1"},
	}}}
	policy.DefaultPool(&pool.Spec.AgentPoolProfile, cluster.Spec.NetworkProfile, true)
	return newView(cluster, []v1beta1.AgentPool{pool}, catalogue)
}

func request() *arm.Request {
	return &arm.Request{
		Request:      httptest.NewRequest(http.MethodPut, "/", nil),
		Subscription: &v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: "11111111-1111-1111-1111-111111111111"}, Spec: v1beta1.SubscriptionSpec{TenantID: "t"}},
	}
}

// Every client updates by sending back what it read. That must be taken, and must
// change nothing.
func TestWhatIsServedCanBeSentBack(t *testing.T) {
	v := full()
	raw, err := json.Marshal(renderCluster(request(), v))
	if err != nil {
		t.Fatal(err)
	}
	var body clusterBody
	if err := arm.DecodeBody(raw, &body); err != nil {
		t.Fatal(err)
	}
	spec := v.cluster.Spec.DeepCopy()
	if err := applyCluster(&body, spec); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*spec, v.cluster.Spec) {
		t.Errorf("the cluster changed:\n%+v\n%+v", *spec, v.cluster.Spec)
	}
	if err := refuseOtherIdentity(request(), &body, spec); err != nil {
		t.Error(err)
	}
	profiles, err := v.changedPools(spec, body.Properties.AgentPoolProfiles)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(profiles[0], v.pools[0].Spec.AgentPoolProfile) {
		t.Errorf("the pool changed:\n%+v\n%+v", profiles[0], v.pools[0].Spec.AgentPoolProfile)
	}
	raw, err = json.Marshal(renderPool(request(), v, &v.pools[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := arm.DecodeBody(raw, new(poolBody)); err != nil {
		t.Error(err)
	}
}

// Every honoured field of a spec must be shown, or a read-modify-write would
// undo it without a word.
func TestEveryFieldOfTheSpecIsServed(t *testing.T) {
	raw, err := json.Marshal(renderCluster(request(), full()))
	if err != nil {
		t.Fatal(err)
	}
	hidden := []string{"resourceGroup", "id", "agentPoolProfiles", "sshPublicKeys"} // in ids, internal, from the AgentPools, as ssh.publicKeys
	hidden = append(hidden, "rotations")                                            // asked for by an action of its own
	// Refused until they are honoured.
	hidden = append(hidden, "autoUpgradeProfile", "nodeImageVersion")
	for _, kind := range []reflect.Type{
		reflect.TypeFor[v1beta1.ManagedClusterSpec](), reflect.TypeFor[v1beta1.NetworkProfile](), reflect.TypeFor[v1beta1.LinuxProfile](),
		reflect.TypeFor[v1beta1.APIServerAccessProfile](), reflect.TypeFor[v1beta1.AgentPoolProfile](), reflect.TypeFor[v1beta1.UpgradeSettings](), reflect.TypeFor[v1beta1.Identity](),
	} {
		for i := range kind.NumField() {
			name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			if !slices.Contains(hidden, name) && !strings.Contains(string(raw), `"`+name+`":`) && name != "networkPluginMode" && name != "orchestratorVersion" {
				t.Errorf("%s.%s is not served", kind.Name(), name)
			}
		}
	}
}

// take does to a body all that a PUT does before it writes. It must never panic.
func take(raw []byte) error {
	var body clusterBody
	if err := arm.DecodeBody(raw, &body); err != nil {
		return err
	}
	spec := &v1beta1.ManagedClusterSpec{ResourceGroup: "rg1", Name: "c1", Location: "westus2"}
	if err := applyCluster(&body, spec); err != nil {
		return err
	}
	policy.DefaultCluster(spec)
	for i := range body.Properties.AgentPoolProfiles {
		profile := v1beta1.AgentPoolProfile{Name: body.Properties.AgentPoolProfiles[i].Name}
		if err := applyPool(&body.Properties.AgentPoolProfiles[i].poolProperties, &profile, ""); err != nil {
			return err
		}
		policy.DefaultPool(&profile, spec.NetworkProfile, i == 0)
		spec.AgentPoolProfiles = append(spec.AgentPoolProfiles, profile)
	}
	if found := policy.ValidateCluster(policy.ClusterInput{New: spec, Pools: spec.AgentPoolProfiles, Catalogue: catalogue, Now: time.Now()}); len(found) > 0 {
		return arm.Refusal(found)
	}
	return nil
}

func seedBodies(tb testing.TB) [][]byte {
	tb.Helper()
	raw, err := json.Marshal(renderCluster(request(), full()))
	if err != nil {
		tb.Fatal(err)
	}
	return [][]byte{raw, []byte(`{"location":"westus2","properties":{"agentPoolProfiles":[{"name":"a","count":1,"spotMaxPrice":-1}]}}`)}
}

// The only errors are those that a client may see.
func checkTaken(t *testing.T, raw []byte) {
	t.Helper()
	var refusal *arm.Error
	if err := take(raw); err != nil && (!errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest || refusal.Code == "") {
		t.Fatalf("%s: %v", raw, err)
	}
}

func FuzzClusterBody(f *testing.F) {
	for _, seed := range seedBodies(f) {
		f.Add(seed)
	}
	f.Fuzz(checkTaken)
}

// TestMutatedBodies is a small part of the fuzzing that runs every time: values
// of good bodies are swapped for others of any kind.
func TestMutatedBodies(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	odd := []string{"null", "true", "false", `""`, `"x"`, `"System"`, "-1", "0", "1.5", "1e300", "[]", "[null]", `["a",1]`, "{}", `{"a":{"b":1}}`, `"` + strings.Repeat("long", 1000) + `"`}
	for _, seed := range seedBodies(t) {
		for range 5000 {
			var document any
			if err := json.Unmarshal(seed, &document); err != nil {
				t.Fatal(err)
			}
			for range 1 + random.IntN(3) {
				document = mutate(random, document, odd)
			}
			raw, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			checkTaken(t, raw)
		}
	}
}

func mutate(random *rand.Rand, value any, odd []string) any {
	switch typed := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(typed)) {
			if random.IntN(len(typed)) == 0 {
				typed[name] = mutate(random, typed[name], odd)
				return typed
			}
		}
	case []any:
		if len(typed) > 0 && random.IntN(4) > 0 {
			i := random.IntN(len(typed))
			typed[i] = mutate(random, typed[i], odd)
			return typed
		}
	}
	var swapped any
	_ = json.Unmarshal([]byte(odd[random.IntN(len(odd))]), &swapped)
	return swapped
}

func TestUpgradeSettings(t *testing.T) {
	if spec := upgradeSpec(&upgradeSettings{}, nil); spec != nil {
		t.Errorf("az sends {} for the defaults, which became %+v", spec)
	}
	spec := upgradeSpec(&upgradeSettings{MaxSurge: "1", DrainTimeoutInMinutes: 30}, &v1beta1.UpgradeSettings{MaxSurge: "2", UndrainableNodeBehavior: "Cordon"})
	if spec.MaxSurge != "1" || *spec.DrainTimeoutInMinutes != 30 || spec.NodeSoakDurationInMinutes != nil || spec.UndrainableNodeBehavior != "Cordon" {
		t.Errorf("%+v", spec)
	}
	// az 2.45 reads a pool, drops what it does not know, and sends the rest back.
	soaked := upgradeSpec(&upgradeSettings{NodeSoakDurationInMinutes: pointer(int32(5))}, spec)
	if none := upgradeSpec(&upgradeSettings{NodeSoakDurationInMinutes: pointer(int32(0))}, soaked); *soaked.NodeSoakDurationInMinutes != 5 || *none.NodeSoakDurationInMinutes != 0 {
		t.Errorf("a soak of %d minutes, set back to 0, is %d", *soaked.NodeSoakDurationInMinutes, *none.NodeSoakDurationInMinutes)
	}
	if after := upgradeSpec(&upgradeSettings{MaxSurge: "2"}, spec); after.MaxSurge != "2" || *after.DrainTimeoutInMinutes != 30 || after.UndrainableNodeBehavior != "Cordon" || spec.MaxSurge != "1" {
		t.Errorf("after an older client's update: %+v", after)
	}
	if _, err := overrideSpec(&overrideSettings{ForceUpgrade: true, Until: "tomorrow"}); err == nil {
		t.Error("a time that is none is taken")
	}
}

func TestRoutesAreWellFormed(t *testing.T) {
	if !slices.IsSorted(versions) || len(slices.Compact(slices.Clone(versions))) != len(versions) {
		t.Error("the api-versions are not in order, or one is there twice")
	}
	seen := map[string]bool{}
	for _, route := range New(&arm.Server{}).Routes {
		id := route.Method + " " + strings.ToLower(route.Path)
		if seen[id] || route.Handle == nil || route.Type == "" {
			t.Errorf("route %s is there twice, or has no handler or type", id)
		}
		seen[id] = true
	}
}
