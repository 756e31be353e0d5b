package volume

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reserve is the free space that a new volume needs to find, if the claim asks for no less. Volumes are not allotted
// space of their own; this only keeps claims from a disk that is full.
const reserve = 256 << 20 // bytes

// refuse says what of a claim or its class a directory cannot honour. It is nil when all of it can.
func refuse(pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	spec := &pvc.Spec
	shared := func(mode corev1.PersistentVolumeAccessMode) bool {
		return mode != corev1.ReadWriteOnce && mode != corev1.ReadWriteOncePod
	}
	switch {
	case slices.ContainsFunc(spec.AccessModes, shared):
		return errors.New("spec.accessModes: a local volume is ReadWriteOnce or ReadWriteOncePod")
	case spec.VolumeMode != nil && *spec.VolumeMode != corev1.PersistentVolumeFilesystem:
		return fmt.Errorf("spec.volumeMode: %s is not supported, only Filesystem", *spec.VolumeMode)
	case spec.Selector != nil:
		return errors.New("spec.selector: a provisioned volume has no labels to select")
	case spec.DataSource != nil || spec.DataSourceRef != nil:
		return errors.New("spec.dataSource: local volumes start empty")
	case len(class.Parameters) > 0:
		return fmt.Errorf("StorageClass %s: parameters are not supported", class.Name)
	case len(class.MountOptions) > 0:
		return fmt.Errorf("StorageClass %s: mountOptions are not supported", class.Name)
	}
	return nil
}

// build is the claim's PersistentVolume: the directory at path on node.
func build(pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, name, path, node string) *corev1.PersistentVolume {
	reclaim := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	mode := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{annotationProvisionedBy: Provisioner},
			Finalizers:  []string{finalizer},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: pvc.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   pvc.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              class.Name,
			VolumeMode:                    &mode,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID, ResourceVersion: pvc.ResourceVersion,
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
					}},
				}},
			}},
		},
	}
}
