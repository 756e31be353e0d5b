package containerservice

import (
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// A customer reads what an upgrade waits for where its phase is, and nothing once it ended.
func TestClusterProgress(t *testing.T) {
	up := &v1beta1.ControlPlaneUpgrade{From: "1.36.3", To: "1.37.2", Phase: v1beta1.UpgradeComponents, Snapshot: "s"}
	for _, c := range []struct {
		why    string
		change func()
		want   string
	}{
		{"on its way", func() {}, `{"upgrade":{"from":"1.36.3","to":"1.37.2","phase":"Components"}}`},
		{"refused", func() { up.Message = "apply DaemonSet kube-system/kube-proxy: denied" },
			`{"upgrade":{"from":"1.36.3","to":"1.37.2","phase":"Components","message":"apply DaemonSet kube-system/kube-proxy: denied"}}`},
		{"ended", func() { up.EndTime = &metav1.Time{} }, `null`},
	} {
		c.change()
		got, err := json.Marshal(clusterProgress(up))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.why, got, err, c.want)
		}
	}
}
