package volume

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"berth.dev/berth/internal/watch"
)

// api is what the provisioner asks of the API server.
type api struct {
	core    rest.Interface
	storage rest.Interface
	node    string
}

func newAPI(client *watch.Client, node string) (*api, error) {
	core, err := client.Group(corev1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	storage, err := client.Group(storagev1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	return &api{core: core, storage: storage, node: node}, nil
}

func (a *api) claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	pvc := &corev1.PersistentVolumeClaim{}
	err := a.core.Get().Namespace(namespace).Resource("persistentvolumeclaims").Name(name).Do(ctx).Into(pvc)
	if err != nil {
		return nil, fmt.Errorf("get claim %s/%s: %w", namespace, name, err)
	}
	return pvc, nil
}

func (a *api) class(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	class := &storagev1.StorageClass{}
	if err := a.storage.Get().Resource("storageclasses").Name(name).Do(ctx).Into(class); err != nil {
		return nil, fmt.Errorf("get StorageClass %s: %w", name, err)
	}
	return class, nil
}

// nodeGone says whether there is no Node of a name.
func (a *api) nodeGone(ctx context.Context, name string) (bool, error) {
	err := a.core.Get().Resource("nodes").Name(name).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("get node %s: %w", name, err)
	}
	return false, nil
}

// create makes a PersistentVolume and returns the one that is there, which another node may have made first.
func (a *api) create(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	made := &corev1.PersistentVolume{}
	err := a.core.Post().Resource("persistentvolumes").Body(pv).Do(ctx).Into(made)
	if apierrors.IsAlreadyExists(err) {
		err = a.core.Get().Resource("persistentvolumes").Name(pv.Name).Do(ctx).Into(made)
	}
	if err != nil {
		return nil, fmt.Errorf("create PersistentVolume %s: %w", pv.Name, err)
	}
	return made, nil
}

func (a *api) delete(ctx context.Context, name string) error {
	err := a.core.Delete().Resource("persistentvolumes").Name(name).Body(&metav1.DeleteOptions{}).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete PersistentVolume %s: %w", name, err)
	}
	return nil
}

// release takes our finalizer off a PersistentVolume.
func (a *api) release(ctx context.Context, name string) error {
	pv := &corev1.PersistentVolume{}
	err := a.core.Get().Resource("persistentvolumes").Name(name).Do(ctx).Into(pv)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get PersistentVolume %s: %w", name, err)
	}
	left := slices.DeleteFunc(pv.Finalizers, func(f string) bool { return f == finalizer })
	patch, err := json.Marshal(map[string]any{
		// The version keeps the patch from undoing another's finalizer.
		"metadata": map[string]any{"finalizers": left, "resourceVersion": pv.ResourceVersion},
	})
	if err != nil {
		return fmt.Errorf("encode finalizers: %w", err)
	}
	err = a.core.Patch(types.MergePatchType).Resource("persistentvolumes").Name(name).Body(patch).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("release PersistentVolume %s: %w", name, err)
	}
	return nil
}

// event tells the claim's owner what happened.
func (a *api) event(ctx context.Context, c claim, kind, reason, message string) error {
	now := metav1.Now()
	event := &corev1.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, GenerateName: c.name + "."},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: c.namespace, Name: c.name, UID: c.uid,
		},
		Type: kind, Reason: reason, Message: message, Count: 1,
		FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: Provisioner, Host: a.node},
	}
	err := a.core.Post().Namespace(c.namespace).Resource("events").Body(event).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("record event %s of claim %s/%s: %w", reason, c.namespace, c.name, err)
	}
	return nil
}
