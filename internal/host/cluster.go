package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// fieldManager owns what `berth up` applies.
const fieldManager = client.FieldOwner("berth-up")

// cluster is a client of the management cluster.
type cluster struct {
	client.Client
	config *rest.Config
}

// dial makes a client. Nothing is asked of the API server but what calls ask.
func dial(paths Paths) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", paths.adminKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", paths.adminKubeconfig(), err)
	}
	config.QPS, config.Burst, config.Timeout = 100, 100, 30*time.Second
	// The management API server is on this host: no proxy leads to it.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	config.WarningHandler = rest.NoWarnings{}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", config.Host, err)
	}
	return &cluster{Client: made, config: config}, nil
}

// apply writes objects with server-side apply, in order.
func (c *cluster) apply(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return fmt.Errorf("encode %T %s: %w", object, object.GetName(), err)
		}
		u := &unstructured.Unstructured{Object: content}
		unstructured.RemoveNestedField(u.Object, "status")
		unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
		if u.GroupVersionKind().Empty() {
			return fmt.Errorf("apply %T %s: the object has no kind", object, object.GetName())
		}
		if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldManager, client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s %s: %w", u.GetKind(), client.ObjectKeyFromObject(u), err)
		}
	}
	return nil
}

// condition looks once. It returns what is still missing; an empty text means done.
type condition func(ctx context.Context) (missing string, err error)

// await polls a condition. Errors of the API server are part of waiting: at this
// time it comes and goes. The error at the end says what was still missing.
func await(ctx context.Context, what string, patience time.Duration, look condition) error {
	missing := "nothing was seen yet"
	err := pollContext(ctx, patience, func(ctx context.Context) (bool, error) {
		now, err := look(ctx)
		if err == nil && now == "" {
			return true, nil
		}
		var fatal fatalError
		if errors.As(err, &fatal) {
			return false, err
		}
		if err == nil {
			missing = now
		} else if ctx.Err() == nil {
			missing = err.Error()
		}
		return false, nil
	})
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("wait for %s: %w; last seen: %s", what, err, missing)
	}
	if err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

// fatalError ends waiting.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

func (c *cluster) nodeReady(ctx context.Context) (string, error) {
	var node corev1.Node
	if err := c.Get(ctx, client.ObjectKey{Name: MachineName}, &node); err != nil {
		return "", err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			if condition.Status == corev1.ConditionTrue {
				return "", nil
			}
			return condition.Message, nil
		}
	}
	return "the node has no Ready condition", nil
}

// established waits for the kinds of our CRDs to be served.
func (c *cluster) established(names []string) condition {
	return func(ctx context.Context) (string, error) {
		for _, name := range names {
			var crd apiextensionsv1.CustomResourceDefinition
			if err := c.Get(ctx, client.ObjectKey{Name: name}, &crd); err != nil {
				return "", err
			}
			served := false
			for _, condition := range crd.Status.Conditions {
				served = served || condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue
			}
			if !served {
				return "kind " + name + " is not served yet", nil
			}
		}
		return "", nil
	}
}

// deployed waits until all pods of a Deployment are of its latest template and available, and
// those of the one before have ended: while they end they may be asked still.
func (c *cluster) deployed(namespace, name string) condition {
	return func(ctx context.Context) (string, error) {
		var d appsv1.Deployment
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d); err != nil {
			return "", err
		}
		s := d.Status
		if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas && s.AvailableReplicas == *d.Spec.Replicas && s.Replicas == *d.Spec.Replicas {
			return c.podEnds(ctx, namespace, d.Spec.Template.Labels)
		}
		return c.podTrouble(ctx, namespace, d.Spec.Template.Labels)
	}
}

// rolledOut waits until a DaemonSet's pods are ready.
func (c *cluster) rolledOut(namespace, name string) condition {
	return func(ctx context.Context) (string, error) {
		var d appsv1.DaemonSet
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d); err != nil {
			return "", err
		}
		s := d.Status
		if s.ObservedGeneration >= d.Generation && s.DesiredNumberScheduled > 0 && s.UpdatedNumberScheduled == s.DesiredNumberScheduled && s.NumberReady == s.DesiredNumberScheduled {
			return "", nil
		}
		return c.podTrouble(ctx, namespace, d.Spec.Template.Labels)
	}
}

// podEnds says in one line which pod with these labels has been deleted and is still there.
func (c *cluster) podEnds(ctx context.Context, namespace string, labels map[string]string) (string, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels(labels)); err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			return fmt.Sprintf("pod %s has to end", pod.Name), nil
		}
	}
	return "", nil
}

// podTrouble says in one line why pods with these labels are not ready.
func (c *cluster) podTrouble(ctx context.Context, namespace string, labels map[string]string) (string, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels(labels)); err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			switch {
			case status.State.Waiting != nil:
				return fmt.Sprintf("pod %s: %s %s", pod.Name, status.State.Waiting.Reason, status.State.Waiting.Message), nil
			case status.State.Terminated != nil:
				return fmt.Sprintf("pod %s ended with code %d", pod.Name, status.State.Terminated.ExitCode), nil
			}
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Status == corev1.ConditionFalse && condition.Message != "" {
				return fmt.Sprintf("pod %s: %s", pod.Name, condition.Message), nil
			}
		}
	}
	return fmt.Sprintf("%d pods, none ready yet", len(pods.Items)), nil
}

// absent says whether an error means that the object is not there.
func absent(err error) bool { return apierrors.IsNotFound(err) }

// readyz asks the API server whether it serves.
func (c *cluster) readyz(ctx context.Context) error {
	discovery, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return fmt.Errorf("client for %s: %w", c.config.Host, err)
	}
	return discovery.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// version asks the API server for its own version.
func (c *cluster) version(ctx context.Context) (string, error) {
	discovery, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return "", fmt.Errorf("client for %s: %w", c.config.Host, err)
	}
	raw, err := discovery.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var info version.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", fmt.Errorf("parse version: %w", err)
	}
	return strings.TrimPrefix(info.GitVersion, "v"), nil
}
