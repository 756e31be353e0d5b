package apply

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func configMap(value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"},
		Data:       map[string]string{"key": value},
	}
}

// recorder counts the writes that reach an API server.
func recorder(applies *int) client.Client {
	return interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			*applies++
			return c.Apply(ctx, o, opts...)
		},
	})
}

func TestApplyOnlyWhenNeeded(t *testing.T) {
	now := time.Unix(0, 0)
	var applies int
	c := recorder(&applies)
	a := New("test", time.Minute, func() time.Time { return now })
	for _, step := range []struct {
		why    string
		before func()
		value  string
		want   int
	}{
		{"the first time", func() {}, "1", 1},
		{"unchanged", func() {}, "1", 1},
		{"changed", func() {}, "2", 2},
		{"unchanged for long: others may have changed it", func() { now = now.Add(time.Minute) }, "2", 3},
		{"forgotten: it may be gone", func() { a.Forget("scope") }, "2", 4},
		{"another scope forgotten", func() { a.Forget("other") }, "2", 4},
	} {
		step.before()
		if err := a.Apply(t.Context(), c, "scope", configMap(step.value)); err != nil {
			t.Fatal(err)
		}
		if applies != step.want {
			t.Errorf("%s: applied %d times, want %d", step.why, applies, step.want)
		}
	}
	var stored corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "a"}, &stored); err != nil || stored.Data["key"] != "2" {
		t.Errorf("stored %v, %v", stored.Data, err)
	}
}
