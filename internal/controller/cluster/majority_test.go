package cluster

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// The member that is kept has all that a majority has acknowledged, whichever it is.
func TestFurthest(t *testing.T) {
	for why, c := range map[string]struct {
		members []v1beta1.MemberData
		want    int32
	}{
		"the last has more":               {[]v1beta1.MemberData{{Term: 2, Index: 10}, {Term: 2, Index: 10}, {Term: 2, Index: 12}}, 2},
		"a later term counts before more": {[]v1beta1.MemberData{{Term: 2, Index: 90}, {Term: 3, Index: 12}, {Term: 2, Index: 95}}, 1},
		"all the same":                    {[]v1beta1.MemberData{{Term: 2, Index: 10}, {Term: 2, Index: 10}, {Term: 2, Index: 10}}, 0},
		"the first is damaged":            {[]v1beta1.MemberData{{Damage: "cut"}, {Term: 1, Index: 4}, {Term: 1, Index: 3}}, 1},
		"one in the middle is damaged":    {[]v1beta1.MemberData{{Term: 1, Index: 3}, {Damage: "cut"}, {Term: 1, Index: 4}}, 2},
		"none is of use":                  {[]v1beta1.MemberData{{Damage: "cut"}, {Damage: "cut"}, {Damage: "cut"}}, 0},
	} {
		if got := furthest(c.members); got != c.want {
			t.Errorf("%s: %d, want %d", why, got, c.want)
		}
	}
}

// Where the data of most members are sound, the one that is furthest has all that was
// acknowledged. It is told which one that is.
func TestComplete(t *testing.T) {
	sound, damaged := v1beta1.MemberData{Term: 2, Index: 10}, v1beta1.MemberData{Damage: "cut"}
	for why, c := range map[string]struct {
		members []v1beta1.MemberData
		want    bool
	}{
		"all are sound":       {[]v1beta1.MemberData{sound, sound, sound}, true},
		"two of three are":    {[]v1beta1.MemberData{sound, damaged, sound}, true},
		"one of three is":     {[]v1beta1.MemberData{damaged, sound, damaged}, false},
		"none is":             {[]v1beta1.MemberData{damaged, damaged, damaged}, false},
		"one of two is":       {[]v1beta1.MemberData{sound, damaged}, false},
		"both of two are":     {[]v1beta1.MemberData{sound, sound}, true},
		"nobody was examined": {nil, false},
	} {
		if got := complete(c.members); got != c.want {
			t.Errorf("%s: %t", why, got)
		}
	}
	if said := alone(&v1beta1.ControlPlaneRecovery{Member: 2, Examine: 3, Examined: []v1beta1.MemberData{sound, damaged, sound}}); !strings.Contains(said, "etcd-2") || !strings.Contains(said, "2 of 3") {
		t.Errorf("it says %q", said)
	}
	if said := alone(&v1beta1.ControlPlaneRecovery{}); said != "" {
		t.Errorf("of a lone one it says %q", said)
	}
}

// One failed start of all members at once is not enough for any of their data to go.
func TestLostAgain(t *testing.T) {
	member := func(ordinal, restarts int32) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: controlplane.MemberName(ordinal), Labels: map[string]string{controlplane.LabelComponent: controlplane.ComponentEtcd}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				RestartCount: restarts, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
			}}},
		}
	}
	if got := lostAgain([]*corev1.Pod{member(0, 0), member(1, 0), member(2, 0)}); got != 0 {
		t.Errorf("%d lost at their first start", got)
	}
	if got := lostAgain([]*corev1.Pod{member(0, 1), member(1, 2), member(2, 0)}); got != 2 {
		t.Errorf("%d lost of two that failed twice", got)
	}
}

func TestMemberDataOf(t *testing.T) {
	for said, ok := range map[string]bool{
		`{"term":3,"index":12}`: true, `{"term":0,"index":0,"damage":"empty"}`: true, `{}`: false, ``: false, `panic`: false,
	} {
		pod := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: said}},
		}}}}
		if found, err := memberDataOf(pod); (err == nil) != ok {
			t.Errorf("%q: %+v (%v)", said, found, err)
		}
	}
}
