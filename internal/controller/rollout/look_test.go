package rollout

import (
	"errors"
	"slices"
	"testing"

	"berth.dev/berth/api/v1beta1"
)

// However many builds come after it, the newest rollout that was completed stays.
func TestOutdated(t *testing.T) {
	all := make([]v1beta1.ComponentRollout, keptRollouts+3)
	for i := range all {
		all[i].Status.State = v1beta1.RolloutSuperseded
	}
	if got := outdated(all); !slices.Equal(got, []int{keptRollouts, keptRollouts + 1, keptRollouts + 2}) {
		t.Errorf("none was completed: %v", got)
	}
	all[keptRollouts+1].Status.State, all[keptRollouts+2].Status.State = v1beta1.RolloutCompleted, v1beta1.RolloutCompleted
	if got := outdated(all); !slices.Equal(got, []int{keptRollouts, keptRollouts + 2}) {
		t.Errorf("two were: %v", got)
	}
	all[0].Status.State = v1beta1.RolloutCompleted
	if got := outdated(all); len(got) != 3 {
		t.Errorf("a newer one was: %v", got)
	}
}

// Where the registry cannot tell of an image, nothing is decided.
func TestMemory(t *testing.T) {
	asked := 0
	m := &memory{known: map[string]bool{}, ask: func(image string) (bool, error) {
		asked++
		if image == "unreadable" {
			return false, errors.New("input/output error")
		}
		return image == "there", nil
	}}
	for range 2 {
		if !m.pullable("there") || m.pullable("gone") || m.err != nil {
			t.Errorf("asked %d times, %v", asked, m.err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times for two images", asked)
	}
	if in := (input{registry: m}); m.pullable("unreadable") || in.registry.err == nil {
		t.Error("an error counts as an answer")
	}
}
