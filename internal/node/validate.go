package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	defaultClusterDomain = "cluster.local"
	defaultMaxPods       = 110
)

// LoadConfig reads, completes and validates a machine's Config.
func LoadConfig(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the machine's configuration: %w", err)
	}
	// Unknown fields are let pass: a machine may be older than the Berth that tells it what to be.
	var c Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return Config{}, fmt.Errorf("parse %s: %w", path, err)
	}
	c.complete()
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *Config) complete() {
	c.KubernetesVersion = strings.TrimPrefix(c.KubernetesVersion, "v")
	if c.ClusterDomain == "" {
		c.ClusterDomain = defaultClusterDomain
	}
	if c.MaxPods == 0 {
		c.MaxPods = defaultMaxPods
	}
}

// Validate says everything that is wrong with a Config, one problem a line.
func (c *Config) Validate() error {
	return errors.Join(c.validateIdentity(), c.validateNetwork(), c.validateCapacity(), c.validateCredentials(), c.validateAccess())
}

func (c *Config) validateIdentity() error {
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	version := regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	var problems []error
	if c.Role != RoleManagement && c.Role != RoleAgent {
		problems = append(problems, fmt.Errorf("role is %q, want %s or %s", c.Role, RoleManagement, RoleAgent))
	}
	if !name.MatchString(c.NodeName) {
		problems = append(problems, fmt.Errorf("nodeName is %q, want a DNS label of at most 63 characters", c.NodeName))
	}
	if !version.MatchString(c.KubernetesVersion) {
		problems = append(problems, fmt.Errorf("kubernetesVersion is %q, want MAJOR.MINOR.PATCH", c.KubernetesVersion))
	}
	if c.PatchesItself && c.Role != RoleAgent {
		problems = append(problems, errors.New("patchesItself is for agents only"))
	}
	for _, taint := range c.Taints {
		if _, err := parseTaint(taint); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (c *Config) validateNetwork() error {
	var problems []error
	if c.ClusterDNS != "" && net.ParseIP(c.ClusterDNS) == nil {
		problems = append(problems, fmt.Errorf("clusterDNS is %q, want an IP address", c.ClusterDNS))
	}
	if a := c.Registry.Address; a != "" {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			problems = append(problems, fmt.Errorf("registry.address is %q, want a URL such as https://100.65.0.7:5000", a))
		}
	}
	return errors.Join(problems...)
}

func (c *Config) validateCapacity() error {
	var problems []error
	if c.CPUs < 0 || c.CPUs > 1024 {
		problems = append(problems, fmt.Errorf("cpus is %d, want 0 to 1024", c.CPUs))
	}
	if c.MemoryMiB != 0 && c.MemoryMiB < 512 {
		problems = append(problems, fmt.Errorf("memoryMiB is %d, want 0 or at least 512", c.MemoryMiB))
	}
	if c.MaxPods < 1 || c.MaxPods > 1000 {
		problems = append(problems, fmt.Errorf("maxPods is %d, want 1 to 1000", c.MaxPods))
	}
	return errors.Join(problems...)
}

func (c *Config) validateCredentials() error {
	var problems []error
	if (c.KubeconfigFile == "") == (c.BootstrapKubeconfigFile == "") {
		problems = append(problems, errors.New("exactly one of kubeconfigFile and bootstrapKubeconfigFile is needed"))
	}
	if c.ClientCAFile == "" {
		problems = append(problems, errors.New("clientCAFile is missing"))
	}
	if c.StaticPodDir != "" && c.Role != RoleManagement {
		problems = append(problems, errors.New("staticPodDir is for the management machine only"))
	}
	for field, path := range map[string]string{"kubeconfigFile": c.KubeconfigFile, "staticPodDir": c.StaticPodDir,
		"bootstrapKubeconfigFile": c.BootstrapKubeconfigFile, "clientCAFile": c.ClientCAFile, "registry.caFile": c.Registry.CAFile} {
		if path != "" && !filepath.IsAbs(path) {
			problems = append(problems, fmt.Errorf("%s is %q, want an absolute path", field, path))
		}
	}
	return errors.Join(problems...)
}

func (c *Config) validateAccess() error {
	if len(c.SSHAuthorizedKeys) == 0 {
		return nil
	}
	var problems []error
	if user := regexp.MustCompile(`^[a-z_][-a-z0-9_]{0,31}$`); !user.MatchString(c.AdminUsername) || c.AdminUsername == "root" {
		problems = append(problems, fmt.Errorf("adminUsername is %q, want an ordinary user's name", c.AdminUsername))
	}
	for i, key := range c.SSHAuthorizedKeys {
		if strings.ContainsAny(strings.TrimSpace(key), "\n\r") || len(strings.Fields(key)) < 2 {
			problems = append(problems, fmt.Errorf("sshAuthorizedKeys[%d] is not an OpenSSH public key", i))
		}
	}
	return errors.Join(problems...)
}
