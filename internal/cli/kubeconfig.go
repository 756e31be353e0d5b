package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// adminUserPrefix starts the user name of an admin's kubeconfig. az names such a context NAME-admin, so that it does not
// take the place of the user's.
const adminUserPrefix = "clusterAdmin"

// parseCredential reads a kubeconfig that ARM gave and names its context as az does, or contextName if that is set.
func parseCredential(text []byte, contextName string) (*api.Config, error) {
	config, err := clientcmd.Load(text)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig from the server: %w", err)
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.Clusters[current.Cluster] == nil || config.AuthInfos[current.AuthInfo] == nil {
		return nil, errors.New("read the kubeconfig from the server: it has no complete context")
	}
	name := config.CurrentContext
	if contextName != "" {
		cluster := config.Clusters[current.Cluster]
		delete(config.Clusters, current.Cluster)
		config.Clusters[contextName], current.Cluster, name = cluster, contextName, contextName
	}
	if strings.HasPrefix(current.AuthInfo, adminUserPrefix) {
		name = strings.TrimSuffix(name, "-admin") + "-admin"
	}
	delete(config.Contexts, config.CurrentContext)
	config.Contexts[name], config.CurrentContext = current, name
	return config, nil
}

// conflictError is an entry of a kubeconfig that another one would take the place of.
type conflictError struct{ kind, name string }

func (e conflictError) Error() string {
	return fmt.Sprintf("a different %s named %s is there already", e.kind, e.name)
}

// mergeKubeconfig adds what addition has to existing and makes its context the current one. What is there under the same
// name and differs is only replaced if replace says so.
func mergeKubeconfig(existing, addition *api.Config, replace func(conflictError) bool) error {
	if err := mergeEntries("cluster", existing.Clusters, addition.Clusters, replace); err != nil {
		return err
	}
	if err := mergeEntries("user", existing.AuthInfos, addition.AuthInfos, replace); err != nil {
		return err
	}
	if err := mergeEntries("context", existing.Contexts, addition.Contexts, replace); err != nil {
		return err
	}
	existing.CurrentContext = addition.CurrentContext
	return nil
}

func mergeEntries[T any](kind string, existing, addition map[string]*T, replace func(conflictError) bool) error {
	for name, entry := range addition {
		there, taken := existing[name]
		conflict := conflictError{kind, name}
		if taken && !sameEntry(there, entry) && !replace(conflict) {
			return conflict
		}
		existing[name] = entry
	}
	return nil
}

// sameEntry compares what is written to a file: not the file that an entry came from, and no matter whether something
// empty is nil.
func sameEntry[T any](a, b *T) bool {
	write := func(entry *T) []byte {
		config := api.NewConfig()
		switch entry := any(entry).(type) {
		case *api.Cluster:
			config.Clusters["x"] = entry
		case *api.AuthInfo:
			config.AuthInfos["x"] = entry
		case *api.Context:
			config.Contexts["x"] = entry
		}
		text, err := clientcmd.Write(*config)
		if err != nil {
			return nil
		}
		return text
	}
	first, second := write(a), write(b)
	return first != nil && bytes.Equal(first, second) || reflect.DeepEqual(a, b)
}

// kubeconfigPath is the file that kubectl writes to: the first of KUBECONFIG, else ~/.kube/config.
func kubeconfigPath(flag string, getenv func(string) string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	for _, path := range filepath.SplitList(getenv("KUBECONFIG")) {
		if path != "" {
			return path, nil
		}
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("neither KUBECONFIG nor HOME is set: name a file with --file")
	}
	return filepath.Join(home, ".kube", "config"), nil
}

// lockTime is how long another program may hold a kubeconfig's lock.
const lockTime = 10 * time.Second

// updateKubeconfig changes a kubeconfig in one step: whoever reads it sees the old or the new one, and two changes at once
// follow one another. The file is made if missing and is readable by its owner alone.
func updateKubeconfig(ctx context.Context, path string, change func(*api.Config) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	unlock, err := lockKubeconfig(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		return fmt.Errorf("%s is no kubeconfig and is left alone: %w", path, err)
	}
	if err := change(config); err != nil {
		return err
	}
	if text, err = clientcmd.Write(*config); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return replaceFile(path, text)
}

// lockKubeconfig takes the lock that kubectl takes.
func lockKubeconfig(ctx context.Context, path string) (unlock func(), err error) {
	lock := path + ".lock"
	deadline := time.Now().Add(lockTime)
	for {
		file, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			file.Close()
			return func() { _ = os.Remove(lock) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("lock kubeconfig: %w", err)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("lock kubeconfig: another program holds %s; remove it if none runs", lock)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func replaceFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".kubeconfig-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
