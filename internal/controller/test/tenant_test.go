package test

import (
	"context"
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/internal/testenv"
)

// clientAs is a client of somebody else than the administrator.
func clientAs(env *testenv.Env, user string, groups ...string) (client.WithWatch, error) {
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return client.NewWithWatch(config, client.Options{Scheme: env.Scheme})
}

// errNotServed is what the API server says of a kind that the tests leave out.
var errNotServed = errors.New("not served")

// withoutAggregation leaves out the metrics API: without a server behind it the
// management cluster could not delete a namespace any more.
func withoutAggregation(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if kind, ok := o.(interface{ GetKind() string }); ok && kind.GetKind() == "APIService" {
				return nil
			}
			return c.Apply(ctx, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if m, ok := list.(*metav1.PartialObjectMetadataList); ok && strings.HasPrefix(m.Kind, "APIService") {
				return errNotServed
			}
			return c.List(ctx, list, opts...)
		},
	})
}
