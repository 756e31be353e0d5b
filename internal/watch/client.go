package watch

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// Client talks to an API server about the few groups that a node's agents need. The whole clientset would cost each
// node 9 MB of memory for its other groups.
type Client struct {
	config *rest.Config
	scheme *runtime.Scheme
}

// NewClient reads a kubeconfig file, or the pod's service account if kubeconfig is empty.
func NewClient(kubeconfig, userAgent string) (*Client, error) {
	config, err := rest.InClusterConfig()
	if kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("configure API client: %w", err)
	}
	config.UserAgent = userAgent
	return NewClientFor(config)
}

// NewClientFor uses a ready configuration.
func NewClientFor(config *rest.Config) (*Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, storagev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API types: %w", err)
		}
	}
	return &Client{config: config, scheme: scheme}, nil
}

// Group returns a REST client for one API group and version.
func (c *Client) Group(gv schema.GroupVersion) (*rest.RESTClient, error) {
	config := rest.CopyConfig(c.config)
	config.GroupVersion = &gv
	config.APIPath = "/apis"
	if gv.Group == "" {
		config.APIPath = "/api"
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(c.scheme).WithoutConversion()
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client of %s: %w", gv, err)
	}
	return client, nil
}

// Resource is a kind of object to follow.
type Resource struct {
	GroupVersion schema.GroupVersion
	Name         string         // plural, as in the URL
	Example      runtime.Object // an empty object of the kind
	Fields       fields.Selector
}

// Follow feeds store with the resource's objects until the context ends. After an error it lists again, soon at first
// and at least every few seconds: an agent must not lag behind a control plane that has just come back.
func (c *Client) Follow(ctx context.Context, resource Resource, store cache.ReflectorStore) error {
	client, err := c.Group(resource.GroupVersion)
	if err != nil {
		return err
	}
	lists := cache.NewFilteredListWatchFromClient(client, resource.Name, metav1.NamespaceAll,
		func(options *metav1.ListOptions) {
			if resource.Fields != nil {
				options.FieldSelector = resource.Fields.String()
			}
		})
	backoff := &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 6, Cap: 5 * time.Second}
	cache.NewReflectorWithOptions(lists, resource.Example, store, cache.ReflectorOptions{
		Name:    resource.Name,
		Backoff: backoff,
	}).RunWithContext(ctx)
	return nil
}
