package cli

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

func credential(t *testing.T, cluster, user, token, contextName string) *api.Config {
	t.Helper()
	config, err := parseCredential([]byte(kubeconfigFor(cluster, user, token)), contextName)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestParseCredentialNamesContextsAsAzDoes(t *testing.T) {
	for _, c := range []struct{ user, contextName, context, cluster string }{
		{"clusterUser_rg_demo", "", "demo", "demo"},
		{"clusterAdmin_rg_demo", "", "demo-admin", "demo"},
		{"clusterUser_rg_demo", "mine", "mine", "mine"},
		{"clusterAdmin_rg_demo", "mine", "mine-admin", "mine"},
	} {
		config := credential(t, "demo", c.user, "t", c.contextName)
		current := config.Contexts[config.CurrentContext]
		if config.CurrentContext != c.context || current.Cluster != c.cluster || config.Clusters[c.cluster] == nil || len(config.Contexts) != 1 {
			t.Errorf("%+v: context %s of cluster %s", c, config.CurrentContext, current.Cluster)
		}
	}
	for _, text := range []string{"", "{", "apiVersion: v1\nkind: Config\ncurrent-context: x"} {
		if _, err := parseCredential([]byte(text), ""); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func never(conflictError) bool { return false }

func TestUpdateKubeconfigMerges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "config")
	merge := func(addition *api.Config, replace func(conflictError) bool) error {
		return updateKubeconfig(t.Context(), path, func(existing *api.Config) error {
			return mergeKubeconfig(existing, addition, replace)
		})
	}
	one := credential(t, "one", "clusterUser_rg_one", "first", "")
	two := credential(t, "two", "clusterUser_rg_two", "first", "")
	for _, addition := range []*api.Config{one, two, two} { // the third changes nothing
		if err := merge(addition, never); err != nil {
			t.Fatal(err)
		}
	}
	renewed := credential(t, "one", "clusterUser_rg_one", "second", "")
	before, _ := os.ReadFile(path)
	if err := merge(renewed, never); err == nil || !strings.Contains(err.Error(), "clusterUser_rg_one") {
		t.Fatalf("a different user of the same name: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a refused merge changed the file")
	}
	if err := merge(renewed, func(conflictError) bool { return true }); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "one" || len(config.Contexts) != 2 || config.AuthInfos["clusterUser_rg_one"].Token != "second" {
		t.Errorf("got context %s of %d, token %s", config.CurrentContext, len(config.Contexts), config.AuthInfos["clusterUser_rg_one"].Token)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files beside the kubeconfig", len(left)-1)
	}
}

func TestUpdateKubeconfigFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	link, real := filepath.Join(dir, "link"), filepath.Join(dir, "real")
	if err := os.WriteFile(real, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	err := updateKubeconfig(t.Context(), link, func(config *api.Config) error {
		return mergeKubeconfig(config, credential(t, "one", "u", "t", ""), never)
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link became a file")
	}
	if config, err := clientcmd.LoadFromFile(real); err != nil || config.CurrentContext != "one" {
		t.Errorf("the file behind the link: %v", err)
	}
}

func TestUpdateKubeconfigLeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("- just\n- a list\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := updateKubeconfig(t.Context(), path, func(*api.Config) error { return nil }); err == nil {
		t.Error("a file that is no kubeconfig was written to")
	}
	if text, _ := os.ReadFile(path); string(text) != "- just\n- a list\n" {
		t.Errorf("the file is now %q", text)
	}
}

func TestUpdateKubeconfigAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	names := []string{"a", "b", "c", "d", "e", "f"}
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			err := updateKubeconfig(t.Context(), path, func(config *api.Config) error {
				config.Contexts[name] = &api.Context{Cluster: name}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if config, err := clientcmd.LoadFromFile(path); err != nil || len(config.Contexts) != len(names) {
		t.Errorf("%d contexts, %v; want %d", len(config.Contexts), err, len(names))
	}
}

func TestKubeconfigPath(t *testing.T) {
	for _, c := range []struct{ flag, kubeconfig, home, want string }{
		{"f", "a", "/h", "f"},
		{"", ":a:b", "/h", "a"},
		{"", "", "/h", "/h/.kube/config"},
		{"", "", "", ""},
	} {
		getenv := func(name string) string {
			return map[string]string{"KUBECONFIG": c.kubeconfig, "HOME": c.home}[name]
		}
		if got, err := kubeconfigPath(c.flag, getenv); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}
