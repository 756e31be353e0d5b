package cluster

import (
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// What other controllers write is not written back: it may have changed meanwhile.
func TestOwnPart(t *testing.T) {
	now := metav1.NewTime(time.Unix(1, 0))
	status := v1beta1.ManagedClusterStatus{
		AddonsVersion: "1.37.2", AddonsImages: map[string]string{"coredns": "r/coredns:v1"}, Advisories: []v1beta1.ClusterAdvisory{{Name: "a"}},
		AutoUpgrades: []v1beta1.AutoUpgradeStatus{{Schedule: "a"}}, Backup: &v1beta1.BackupStatus{Time: &now},
		Support: &v1beta1.SupportStatus{}, ComponentRollout: &v1beta1.ClusterRollout{Name: "a"}, Conditions: []metav1.Condition{{Type: v1beta1.ConditionAddonsApplied}, {Type: v1beta1.ConditionBackedUp}},
	}
	if own := ownPart(status); !reflect.DeepEqual(own, v1beta1.ManagedClusterStatus{Conditions: []metav1.Condition{}}) {
		t.Errorf("%+v", own)
	}
}
