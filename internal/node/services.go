package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

const (
	// hungAfter is how long containerd or the kubelet may give no sign of life (clause E3).
	hungAfter = time.Minute
	// A kubelet is not healthy before it has its certificate, which an API server that is away can delay.
	kubeletStartWithin    = 10 * time.Minute
	containerdStartWithin = 2 * time.Minute
	checkEvery            = 10 * time.Second
)

// searchPath is where programs are looked for, and what containerd finds its shim and runc by.
func searchPath() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// environment is what a service of the machine runs with. Collecting garbage twice as often as usual costs little
// processor time in a node that mostly waits and saves memory on a host of many.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "GOGC=50"}
}

func findProgram(name string) (string, error) {
	for _, dir := range searchPath() {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("find program %s in %v: %w", name, searchPath(), fs.ErrNotExist)
}

// services are the processes that make the machine a node; ssh may be nil.
type services struct {
	containerd, kubelet, ssh *supervise.Service
}

func (m *machine) services() (services, error) {
	containerd, err := findProgram("containerd")
	if err != nil {
		return services{}, err
	}
	kubelet, err := kubeletCommand(m.config, m.facts)
	if err != nil {
		return services{}, err
	}
	ssh, err := m.prepareSSH()
	if err != nil {
		return services{}, err
	}
	return services{
		containerd: &supervise.Service{
			Name: "containerd", Command: []string{containerd, "--config", containerdConfigPath, "--log-level", "warn"},
			Env: environment(), Health: checkContainerd(containerdSocket), HealthEvery: checkEvery,
			StartWithin: containerdStartWithin, HungAfter: hungAfter, StopWithin: stopServiceWithin,
		},
		kubelet: &supervise.Service{
			Name: "kubelet", Command: kubelet,
			Env: environment(), Health: checkRegistered(checkKubelet, m.config.kubeconfig(), m.config.NodeName), HealthEvery: checkEvery,
			StartWithin: kubeletStartWithin, HungAfter: hungAfter, StopWithin: stopServiceWithin,
		},
		ssh: ssh,
	}, nil
}

// kubeletCommand is the kubelet with its flags. In an agent it is the program that first gets the node its certificate
// and then becomes the kubelet.
func kubeletCommand(c Config, f facts) ([]string, error) {
	multicall, err := findProgram("kube")
	if err != nil {
		return nil, err
	}
	return append(append([]string{multicall}, joinArguments(c)...), kubeletFlags(c, f)...), nil
}

func joinArguments(c Config) []string {
	if c.KubeconfigFile != "" {
		return []string{"kubelet"}
	}
	return []string{"kubelet-join", "--bootstrap-kubeconfig=" + c.BootstrapKubeconfigFile,
		"--kubeconfig=" + kubeletKubeconfigPath, "--node-name=" + c.NodeName, "--"}
}
