package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func TestPutBackWaits(t *testing.T) {
	plan := PutBacks(v1beta1.ServicePolicySpec{})
	for _, c := range []struct {
		why   string
		times int
		want  time.Duration
	}{
		{"never changed", 0, 0},
		{"a customer who tries it twice", 2, 0},
		{"one more is a controller", 3, 5 * time.Second},
		{"which does not give in", 4, 10 * time.Second},
		{"twice as long each time", 6, 40 * time.Second},
		{"but not for ever", 100, 5 * time.Minute},
	} {
		if got := plan.Wait(c.times); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

func TestPutBacksReadsServicePolicy(t *testing.T) {
	plan := PutBacks(v1beta1.ServicePolicySpec{AddonPutBack: &v1beta1.AddonPutBack{
		Delay: &metav1.Duration{Duration: time.Second}, Calm: &metav1.Duration{Duration: -time.Second},
	}})
	want := PutBackPlan{Check: DefaultAddonCheck, Delay: time.Second, MaxDelay: DefaultAddonMaxDelay, Calm: DefaultAddonCalm}
	if plan != want {
		t.Errorf("%+v, want %+v: what makes no sense is the default", plan, want)
	}
	now := time.Unix(1000, 0)
	if plan.Calmed(now.Add(-time.Minute), now) || !plan.Calmed(now.Add(-DefaultAddonCalm), now) {
		t.Error("calm comes at another time than after Calm")
	}
}
