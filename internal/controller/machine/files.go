package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/node"
	"berth.dev/berth/internal/pki"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// The files of a machine, in machine.FilesDir.
const (
	fileConfig     = "machine.json"
	fileBootstrap  = "bootstrap-kubeconfig"
	fileClusterCA  = "ca.crt"
	fileRegistryCA = "registry-ca.crt"
)

const (
	// caSecret in the control plane's namespace holds the cluster's CA.
	caSecret      = "ca"
	clusterDomain = "cluster.local"
	apiServerPort = 6443
)

// describe is the machine as the provider shall make it.
func (r *Reconciler) describe(ctx context.Context, s *scene) (machine.Machine, error) {
	spec := s.object.Spec
	image, err := r.image(s.object.Status)
	if err != nil {
		return machine.Machine{}, err
	}
	size, ok := policy.FindVMSize(spec.VMSize)
	if !ok {
		return machine.Machine{}, fmt.Errorf("VM size %q is not known", spec.VMSize)
	}
	files, err := r.files(ctx, s, size)
	if err != nil {
		return machine.Machine{}, err
	}
	described := machine.Machine{
		Ref:       s.ref,
		Owner:     client.ObjectKeyFromObject(s.object),
		Pool:      poolName(s.object),
		Image:     image,
		CPUs:      size.CPUs,
		MemoryMiB: size.MemoryMiB,
		DiskGiB:   spec.OSDiskSizeGB,
		Files:     files,
	}
	if repair := s.object.Status.Repair; repair != nil && repair.Replaced {
		switch repair.Action {
		case v1beta1.RepairReimage:
			described.Near = repair.Host
		case v1beta1.RepairRedeploy:
			described.Avoid = repair.Host
		}
	}
	if progress := underWay(s.object); progress != nil && progress.Replaced {
		switch progress.Action {
		case v1beta1.InstanceReimage:
			described.Near = progress.Host
		case v1beta1.InstanceRedeploy:
			described.Avoid = progress.Host
		}
	}
	return described, nil
}

// image is that of the Machine's own node image version, which need not be the
// newest: a machine that is made anew is the same as before.
func (r *Reconciler) image(made v1beta1.MachineStatus) (string, error) {
	if ref, ok := r.Catalogue.MachineImage(made.KubernetesVersion, made.NodeImageVersion); ok {
		return ref, nil
	}
	found, ok := r.Catalogue.Release(made.KubernetesVersion)
	if !ok {
		return "", release.Unknown(made.KubernetesVersion)
	}
	repository, isVersion := strings.CutSuffix(found.NodeImage, ":"+r.Catalogue.NodeImageVersion)
	if !isVersion || made.NodeImageVersion == "" {
		return found.NodeImage, nil
	}
	return repository + ":" + made.NodeImageVersion, nil
}

func (r *Reconciler) files(ctx context.Context, s *scene, size policy.VMSize) (map[string][]byte, error) {
	ca, err := r.clusterCA(ctx, s.ref.ClusterID)
	if err != nil {
		return nil, err
	}
	bootstrap, err := r.bootstrapKubeconfig(ctx, s, ca)
	if err != nil {
		return nil, err
	}
	config, err := json.MarshalIndent(r.config(s, size), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", fileConfig, err)
	}
	files := map[string][]byte{fileConfig: config, fileBootstrap: bootstrap, fileClusterCA: ca}
	if len(r.RegistryCA) > 0 {
		files[fileRegistryCA] = r.RegistryCA
	}
	return files, nil
}

func (r *Reconciler) clusterCA(ctx context.Context, clusterID string) ([]byte, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: caSecret}
	if err := r.reader.Get(ctx, key, secret); err != nil {
		return nil, fmt.Errorf("read CA of cluster %s: %w", clusterID, err)
	}
	ca := secret.Data[corev1.TLSCertKey]
	if len(ca) == 0 {
		return nil, fmt.Errorf("CA of cluster %s has no certificate", clusterID)
	}
	return ca, nil
}

func (r *Reconciler) bootstrapKubeconfig(ctx context.Context, s *scene, ca []byte) ([]byte, error) {
	address := s.cluster.Status.ControlPlaneAddress
	if address == "" {
		return nil, fmt.Errorf("cluster %s has no control plane address", s.cluster.Name)
	}
	secretHalf, err := r.token(ctx, s)
	if err != nil {
		return nil, err
	}
	return pki.Kubeconfig(pki.KubeconfigRequest{
		Cluster: s.cluster.Spec.Name,
		User:    "bootstrap",
		Server:  fmt.Sprintf("https://%s:%d", address, apiServerPort),
		CA:      ca,
		Token:   s.object.Status.BootstrapTokenID + "." + secretHalf,
	})
}

func (r *Reconciler) config(s *scene, size policy.VMSize) node.Config {
	spec, cluster := s.object.Spec, s.cluster.Spec
	want := wantedNode(s)
	config := node.Config{
		Role:                    node.RoleAgent,
		NodeName:                spec.NodeName,
		KubernetesVersion:       s.object.Status.KubernetesVersion,
		ClusterDomain:           clusterDomain,
		ClusterDNS:              cluster.NetworkProfile.DNSServiceIP,
		MaxPods:                 spec.MaxPods,
		Labels:                  want.Labels,
		Taints:                  spec.Taints,
		CPUs:                    size.CPUs,
		MemoryMiB:               size.MemoryMiB,
		BootstrapKubeconfigFile: path.Join(machine.FilesDir, fileBootstrap),
		ClientCAFile:            path.Join(machine.FilesDir, fileClusterCA),
		Registry:                node.Registry{Address: r.RegistryAddress},
		PatchesItself:           s.object.Status.UnmanagedOS,
		ProviderID:              want.ProviderID,
	}
	if len(r.RegistryCA) > 0 {
		config.Registry.CAFile = path.Join(machine.FilesDir, fileRegistryCA)
	}
	if linux := cluster.LinuxProfile; linux != nil {
		config.AdminUsername, config.SSHAuthorizedKeys = linux.AdminUsername, linux.SSHPublicKeys
	}
	return config
}
