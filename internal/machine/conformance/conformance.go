// Package conformance is the suite that every machine provider must pass.
package conformance

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/machine"
)

// Fixture is a provider and power over the world beneath it, which a suite cannot
// wait for. Each function acts on a machine that was ensured.
type Fixture struct {
	Provider machine.Provider
	// Boot makes the machine run and returns its address.
	Boot func(t *testing.T, ref machine.Ref) string
	// Fail makes the machine end for good.
	Fail func(t *testing.T, ref machine.Ref)
	// Halt completes the removal of a machine that is Stopping.
	Halt func(t *testing.T, ref machine.Ref)
	// Reboot completes the reboot that the provider was asked for; it fails the test
	// if none was.
	Reboot func(t *testing.T, ref machine.Ref)
	// Files returns what the machine finds in machine.FilesDir, nil when nothing
	// is kept for it.
	Files func(t *testing.T, ref machine.Ref) map[string][]byte
}

// Run runs the suite. The provider's cluster "conformance00" must be empty.
func Run(t *testing.T, fixture Fixture) {
	for number, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, Fixture: fixture, machine: sample(number)}
			c.run(s)
		})
	}
}

// cases say what each of them is for.
var cases = []struct {
	name string
	run  func(*suite)
}{
	{"a machine that nobody made is absent and can be deleted", absent},
	{"a machine is made, runs and ends", life},
	{"ensuring again neither makes a second machine nor starts it anew", again},
	{"files of a machine that is there are brought up to date", files},
	{"a running machine is not made anew for another image", image},
	{"a machine is rebooted once for each time that it was seen", reboot},
	{"a machine that failed is told and can be made anew", failure},
	{"a machine that is being removed is not revived", stopping},
	{"no script runs in a machine that does not run", noScript},
	{"a machine of another cluster with the same name is another machine", clusters},
	{"callers at the same time make one machine", concurrent},
}

type suite struct {
	*testing.T
	Fixture
	machine machine.Machine
}

func sample(number int) machine.Machine {
	name := fmt.Sprintf("aks-pool-00000000-vmss%06d", number)
	return machine.Machine{
		Ref:       machine.Ref{ClusterID: "conformance00", Name: name},
		Owner:     types.NamespacedName{Namespace: "sub-0", Name: "group.cluster.pool." + name},
		Pool:      "pool",
		Image:     "registry.berth.internal/berth/node:1",
		CPUs:      2,
		MemoryMiB: 4096,
		DiskGiB:   30,
		Files:     map[string][]byte{"machine.json": []byte("{}"), "ca.crt": []byte("ca")},
	}
}

func (s *suite) ensure() {
	s.Helper()
	if err := s.Provider.Ensure(s.Context(), s.machine); err != nil {
		s.Fatalf("Ensure: %v", err)
	}
}

func (s *suite) remove() {
	s.Helper()
	if err := s.Provider.Delete(s.Context(), s.machine.Ref, 30*time.Second); err != nil {
		s.Fatalf("Delete: %v", err)
	}
}

func (s *suite) expect(state machine.State) machine.Observation {
	s.Helper()
	seen, err := s.Provider.Observe(s.Context(), s.machine.Ref)
	if err != nil {
		s.Fatalf("Observe: %v", err)
	}
	if seen.State != state {
		s.Fatalf("state %s (%s), want %s", seen.State, seen.Message, state)
	}
	if (seen.Incarnation == "") != (state == machine.Absent) {
		s.Fatalf("%s with incarnation %q", state, seen.Incarnation)
	}
	return seen
}

func absent(s *suite) {
	s.expect(machine.Absent)
	s.remove()
	s.expect(machine.Absent)
}

func life(s *suite) {
	s.ensure()
	if seen := s.expect(machine.Starting); seen.Boots != 0 {
		s.Errorf("%d boots before the first", seen.Boots)
	}
	address := s.Boot(s.T, s.machine.Ref)
	seen := s.expect(machine.Running)
	if seen.Address != address || seen.Boots != 1 || seen.Message != "" {
		s.Errorf("running: %+v, want address %s, one boot, no message", seen, address)
	}
	if got := s.Files(s.T, s.machine.Ref); !reflect.DeepEqual(got, s.machine.Files) {
		s.Errorf("files %q, want %q", got, s.machine.Files)
	}
	s.remove()
	s.expect(machine.Stopping)
	s.remove()
	s.Halt(s.T, s.machine.Ref)
	s.expect(machine.Absent)
	if got := s.Files(s.T, s.machine.Ref); got != nil {
		s.Errorf("files %q are left of a deleted machine", got)
	}
}

func again(s *suite) {
	s.ensure()
	s.Boot(s.T, s.machine.Ref)
	before := s.expect(machine.Running)
	s.ensure()
	if after := s.expect(machine.Running); after != before {
		s.Errorf("after a second Ensure %+v, want %+v", after, before)
	}
}

func files(s *suite) {
	s.ensure()
	s.machine.Files = map[string][]byte{"machine.json": []byte(`{"taints":[]}`)}
	s.ensure()
	if got := s.Files(s.T, s.machine.Ref); !reflect.DeepEqual(got, s.machine.Files) {
		s.Errorf("files %q, want %q", got, s.machine.Files)
	}
}

func image(s *suite) {
	s.ensure()
	s.Boot(s.T, s.machine.Ref)
	before := s.expect(machine.Running)
	s.machine.Image, s.machine.CPUs = "registry.berth.internal/berth/node:2", 4
	s.ensure()
	if after := s.expect(machine.Running); after.Incarnation != before.Incarnation {
		s.Errorf("incarnation %s, want still %s", after.Incarnation, before.Incarnation)
	}
}

func reboot(s *suite) {
	s.ensure()
	s.Boot(s.T, s.machine.Ref)
	first := s.expect(machine.Running)
	ask := func(seen machine.Observation) {
		s.Helper()
		if err := s.Provider.Reboot(s.Context(), s.machine.Ref, seen); err != nil {
			s.Fatalf("Reboot: %v", err)
		}
	}
	for number := range int32(3) {
		seen := first
		seen.Boots += number
		ask(seen)
		ask(seen)
		s.Reboot(s.T, s.machine.Ref)
		// Whoever asks for what is done already is answered by nothing.
		ask(seen)
		ask(machine.Observation{Incarnation: "another", Boots: seen.Boots + 1})
		now := s.expect(machine.Running)
		if now.Incarnation != first.Incarnation || now.Boots != seen.Boots+1 || now.Host != first.Host || now.Host == "" {
			s.Errorf("after a reboot %+v, before %+v", now, seen)
		}
	}
}

func failure(s *suite) {
	s.ensure()
	s.Boot(s.T, s.machine.Ref)
	s.Fail(s.T, s.machine.Ref)
	failed := s.expect(machine.Failed)
	if failed.Message == "" {
		s.Errorf("a failed machine says nothing")
	}
	s.remove()
	s.Halt(s.T, s.machine.Ref)
	s.expect(machine.Absent)
	s.ensure()
	if anew := s.expect(machine.Starting); anew.Incarnation == failed.Incarnation {
		s.Errorf("a new machine has the incarnation %s of the failed one", anew.Incarnation)
	}
}

func stopping(s *suite) {
	s.ensure()
	s.Boot(s.T, s.machine.Ref)
	s.remove()
	s.ensure()
	s.expect(machine.Stopping)
}

func noScript(s *suite) {
	for _, prepare := range []func(){func() {}, s.ensure} {
		prepare()
		if result, err := s.Provider.Run(s.Context(), s.machine.Ref, machine.Command{Script: "true", Timeout: time.Second, Limit: 1}); err == nil {
			s.Errorf("a script ran where there is no machine: %+v", result)
		}
	}
}

func clusters(s *suite) {
	s.ensure()
	s.Boot(s.T, s.machine.Ref)
	s.machine.ClusterID = "conformance01"
	s.expect(machine.Absent)
}

func concurrent(s *suite) {
	var group sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		group.Go(func() { errs <- s.Provider.Ensure(s.Context(), s.machine) })
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			s.Errorf("Ensure: %v", err)
		}
	}
	s.expect(machine.Starting)
}
