package harness

import (
	"testing"
	"time"
)

// Step is one part of a journey on one Berth.
type Step struct {
	Name string
	Run  func(*Env)
}

// Journey runs steps as subtests and logs how long each took. Each stands on the one
// before, so that the first to fail is the last to run.
func (e *Env) Journey(t *testing.T, steps []Step) {
	t.Helper()
	for _, step := range steps {
		if !t.Run(step.Name, func(t *testing.T) {
			started := time.Now()
			step.Run(e.On(t))
			t.Logf("%.1f s", time.Since(started).Seconds())
		}) {
			t.FailNow()
		}
	}
}
