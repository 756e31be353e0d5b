package cluster

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// What is kept of a deleted cluster says how far its backups reach and where they are. One
// that is deleted again before it is backed up again has those of its earlier life.
func TestBackupsOfADeletedClusterAreKnown(t *testing.T) {
	at := metav1.Now()
	last := &v1beta1.BackupStatus{Revision: 7, RecoveryRevision: 9, Stores: []v1beta1.BackupStoreStatus{{URL: "s3://a", Time: &at}, {URL: "s3://empty"}}}
	earlier := &v1beta1.DeletedCluster{Spec: v1beta1.DeletedClusterSpec{RecoveryRevision: 11, BackupStores: []string{"s3://b", "s3://a"}}}
	for why, c := range map[string]struct {
		last    *v1beta1.BackupStatus
		earlier *v1beta1.DeletedCluster
		reached int64
		stores  []string
	}{
		"it ran":                                  {last, nil, 9, []string{"s3://a"}},
		"no delta has come after its full":        {&v1beta1.BackupStatus{Revision: 7}, nil, 7, nil},
		"it was not backed up":                    {nil, nil, 0, nil},
		"it came back, and went before it was up": {nil, earlier, 11, []string{"s3://b", "s3://a"}},
		"it came back, and one store is away":     {last, earlier, 11, []string{"s3://b", "s3://a"}},
	} {
		var spec v1beta1.DeletedClusterSpec
		keepBackups(&spec, c.last, c.earlier)
		if spec.RecoveryRevision != c.reached || !slices.Equal(spec.BackupStores, c.stores) {
			t.Errorf("%s: reached %d in %v", why, spec.RecoveryRevision, spec.BackupStores)
		}
	}
}
