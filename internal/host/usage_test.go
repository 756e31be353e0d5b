package host

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// managementAPI is a management API server that has clusters, for the administrator of a state
// directory.
func managementAPI(t *testing.T, paths Paths, clusters ...v1beta1.ManagedCluster) {
	t.Helper()
	group := "/apis/" + v1beta1.GroupVersion.String()
	kinds := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: v1beta1.GroupVersion.String()}
	answers := map[string]any{group: &kinds}
	for plural, kind := range map[string]string{
		"managedclusters": "ManagedCluster", "agentpools": "AgentPool", "machines": "Machine",
		"deletedclusters": "DeletedCluster", "snapshots": "Snapshot", "operations": "Operation",
	} {
		kinds.APIResources = append(kinds.APIResources, metav1.APIResource{Name: plural, Kind: kind, Namespaced: true, Verbs: metav1.Verbs{"list"}})
		list := map[string]any{"apiVersion": v1beta1.GroupVersion.String(), "kind": kind + "List", "items": []any{}}
		if kind == "ManagedCluster" {
			list["items"] = clusters
		}
		answers[group+"/"+plural] = list
	}
	version := metav1.GroupVersionForDiscovery{GroupVersion: v1beta1.GroupVersion.String(), Version: v1beta1.GroupVersion.Version}
	served := metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: v1beta1.GroupVersion.Group,
		Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
	}
	answers["/apis/"+v1beta1.GroupVersion.Group] = served
	answers["/apis"] = metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{served}}
	answers["/api"] = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		answer, has := answers[request.URL.Path]
		if !has {
			http.NotFound(w, request)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	config := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: \"" + server.URL + "\"}}]\n"
	if err := os.WriteFile(paths.adminKubeconfig(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A Berth that is taken down notes what its clusters use, which counts until it is up again.
func TestDownNotesWhatIsUsed(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	down := func() {
		t.Helper()
		if err := Down(t.Context(), DownOptions{StateDir: u.paths.State, Out: t.Output()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := noteStateDir(u.artifacts.Dir, u.paths); err != nil {
		t.Fatal(err)
	}
	managementAPI(t, u.paths, someCluster("runs", "1.35", "1.35.4"), someCluster("new", "1.36", ""))
	start(t, u)
	machineSees(t, u.paths)
	down()
	for version, want := range map[string]string{"1.35.4": "cluster rg/runs", "1.36.3": "cluster rg/new", "1.34.1": ""} {
		r := removal{version: version, build: u.artifacts.Dir, named: Paths{State: t.TempDir()}, offered: &release.Catalogue{Releases: []release.Release{{Version: "1.36.3"}, {Version: version}}}}
		err := r.askAll(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", version, err, want)
		}
	}
	start(t, u)
	if _, err := os.Stat(u.paths.usageRecord()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is up, and what it used before is noted: %v", err)
	}
	machineSees(t, u.paths)
	if err := os.WriteFile(u.paths.adminKubeconfig(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	down()
	if _, err := os.Stat(u.paths.usageRecord()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody could be asked, and there is a note: %v", err)
	}
	if err := Down(t.Context(), DownOptions{StateDir: u.paths.State, Purge: true, Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
}

// ending is the API server of a Berth that ends: a cluster comes when nobody else can ask for one.
type ending struct {
	client.Reader
	mu   sync.Mutex
	late []v1beta1.ManagedCluster
	// told: somebody has seen it. over: it has ended since.
	told, over bool
	asked      chan struct{}
}

func (e *ending) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return errors.New("connection refused")
	}
	switch list := list.(type) {
	case *v1beta1.ManagedClusterList:
		list.Items, e.told = e.late, len(e.late) > 0
	case *v1beta1.SnapshotList: // which is asked for last
		if e.told {
			e.over = true
			close(e.asked)
		}
	}
	return nil
}

// What comes while a Berth ends is noted too, and what it said last counts when it says nothing more.
func TestUsageIsAskedUntilTheEnd(t *testing.T) {
	e := &ending{asked: make(chan struct{})}
	end := func() error {
		e.mu.Lock()
		e.late = []v1beta1.ManagedCluster{someCluster("late", "1.36.3", "")}
		e.mu.Unlock()
		<-e.asked
		return nil
	}
	used, err := usedWhile(t.Context(), end, usage{"1.35.4": {"cluster rg/gone"}}, e)
	if err != nil || len(used) != 1 || used["1.36.3"] == nil {
		t.Errorf("used are %v (%v)", used, err)
	}
	if used, err := usedWhile(t.Context(), func() error { return nil }, nil, nil); err != nil || used != nil {
		t.Errorf("of one that could not be asked: %v (%v)", used, err)
	}
}
