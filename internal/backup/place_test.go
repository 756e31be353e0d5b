package backup

import "testing"

// Whoever was answered may ask again at once: the call that answered is not in the way.
func TestCallThatAnsweredIsOver(t *testing.T) {
	p := &place{address: "file://" + t.TempDir(), cluster: "a", slots: make(chan struct{}, 1)}
	for n := range 20_000 {
		if err := p.use(t.Context(), func(*Store) error { return nil }); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
	}
}
