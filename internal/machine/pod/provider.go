package pod

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// Options are what an installation may choose.
type Options struct {
	// PriorityClassName of machine pods; empty for the cluster's default. The
	// class must exist.
	PriorityClassName string
	// Config reaches the management cluster's API server, for the logs of machines;
	// nil where nobody reads them.
	Config *rest.Config
}

// Provider implements machine.Provider.
type Provider struct {
	client  client.Client
	reader  client.Reader
	options Options
}

var _ machine.Provider = (*Provider)(nil)

// New returns a provider that writes with c and reads with reader, which must
// not be a cache.
func New(c client.Client, reader client.Reader, options Options) *Provider {
	return &Provider{client: c, reader: reader, options: options}
}

// CacheOptions keep only machine pods in a manager's cache of Pods.
func CacheOptions() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&corev1.Pod{}: {Label: machineSelector()}}
}

// Owner tells which Machine object a pod was made for.
func Owner(pod client.Object) (types.NamespacedName, bool) {
	namespace, name, ok := strings.Cut(pod.GetAnnotations()[AnnotationOwner], "/")
	return types.NamespacedName{Namespace: namespace, Name: name}, ok
}

// Ensure implements machine.Provider. The Secret comes first: a pod without it
// would wait for the kubelet's next try.
func (p *Provider) Ensure(ctx context.Context, m machine.Machine) error {
	if err := p.ensureSecret(ctx, m); err != nil {
		return fmt.Errorf("write files of machine %s: %w", m.Name, err)
	}
	pod := renderPod(m, p.options)
	if err := p.client.Create(ctx, pod); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create pod of machine %s: %w", m.Name, err)
	}
	return nil
}

func (p *Provider) ensureSecret(ctx context.Context, m machine.Machine) error {
	want := renderSecret(m)
	have := &corev1.Secret{}
	err := p.reader.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		err = p.client.Create(ctx, want)
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		err = p.reader.Get(ctx, client.ObjectKeyFromObject(want), have)
	}
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(have.Data, want.Data) {
		return nil
	}
	have.Data = maps.Clone(want.Data)
	return p.client.Update(ctx, have)
}

// Observe implements machine.Provider.
func (p *Provider) Observe(ctx context.Context, ref machine.Ref) (machine.Observation, error) {
	key := client.ObjectKey{Namespace: v1beta1.MachineNamespace(ref.ClusterID), Name: ref.Name}
	pod := &corev1.Pod{}
	err := p.reader.Get(ctx, key, pod)
	if err == nil {
		return observe(pod), nil
	}
	if !apierrors.IsNotFound(err) {
		return machine.Observation{}, fmt.Errorf("read pod of machine %s: %w", ref.Name, err)
	}
	return machine.Observation{State: machine.Absent}, nil
}

// Delete implements machine.Provider. The Secret goes first, so that Absent, which
// only the pod tells, means that nothing is left.
func (p *Provider) Delete(ctx context.Context, ref machine.Ref, grace time.Duration) error {
	meta := objectMeta(machine.Machine{Ref: ref})
	secret, pod := &corev1.Secret{}, &corev1.Pod{}
	for _, object := range []client.Object{secret, pod} {
		object.SetNamespace(meta.Namespace)
		object.SetName(meta.Name)
	}
	if err := client.IgnoreNotFound(p.client.Delete(ctx, secret)); err != nil {
		return fmt.Errorf("delete files of machine %s: %w", ref.Name, err)
	}
	// Zero would not wait for the kubelet, and a machine could outlive its pod.
	seconds := max(int64(grace/time.Second), 1)
	if err := client.IgnoreNotFound(p.client.Delete(ctx, pod, client.GracePeriodSeconds(seconds))); err != nil {
		return fmt.Errorf("delete pod of machine %s: %w", ref.Name, err)
	}
	return nil
}
