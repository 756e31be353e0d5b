package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/test/chaos/load"
	"berth.dev/berth/test/chaos/objects"
	"berth.dev/berth/test/chaos/schedule"
	"berth.dev/berth/test/harness"
)

// The variables of a run: make chaos sets them.
const (
	// seedVariable is the seed of the schedule: a run can be done again.
	seedVariable = "BERTH_CHAOS_SEED"
	// moreVariable is how many faults come at random after those in turn. Where it is
	// not set the run is the short one.
	moreVariable = "BERTH_CHAOS_MORE"
)

const (
	shortSeed = 4
	shortMore = 2
	// diskSize is the size of the disk that the etcds have.
	diskSize = "size=4g"
	// wellWithin is how long everything may take to be well again after a fault.
	wellWithin = 5 * time.Minute
	// wellFor is how long it must be well: what was hit looks well until somebody notices.
	wellFor = 5 * time.Second
	// writesTo is the namespace that the load is on.
	writesTo = "default"
)

type process = harness.Process

// cluster is one that the load is on.
type cluster struct {
	name, id string
	nodes    int
	// members is how many etcds and API servers it has: three in the tier Standard.
	members int
	load    *load.Load
	// wiped is when a member's data were last taken away.
	wiped atomic.Int64
}

// tier is the tier that has so many members.
func (c *cluster) tier() string {
	if c.members > 1 {
		return "Standard"
	}
	return "Free"
}

// chaos is a Berth, its clusters, and what is done to it.
type chaos struct {
	env        *harness.Env
	management client.Client
	clusters   []*cluster
	// volumes is the directory of the etcds' data, a disk of its own.
	volumes string
	// store is the second store of backups.
	store *objects.Store
	// restarting is held by who brings the management node up again.
	restarting sync.Mutex
}

// TestChaos does to a Berth all that machines and people do to one, in turn and then at
// random. In the end every acknowledged write is there, everything is well, and there is
// nothing that was not there before.
func TestChaos(t *testing.T) {
	seed, more, short := settings(t)
	events := schedule.Draw(seed, names(short), more)
	t.Logf("seed %d: %d faults", seed, len(events))
	if !short {
		t.Logf("the same again: make chaos %s=%d %s=%d", seedVariable, seed, moreVariable, more)
	}
	c := begin(t, short)
	before, err := c.inventory()
	if err != nil {
		t.Fatal(err)
	}
	for n, event := range events {
		if event.Gap > 0 {
			break
		}
		started := time.Now()
		t.Logf("%d of %d: %s", n+1, len(events), event)
		if err := c.inject(event); err != nil {
			t.Fatalf("%s: %v", event.Fault, err)
		}
		c.settle(event.Fault, time.Now())
		t.Logf("all is well and everything is there %.1f s after it", time.Since(started).Seconds()-lasting(event))
	}
	c.atRandom(events)
	c.settle("all that", time.Now())
	c.env.Eventually("nothing leaks, and nothing is gone", wellWithin, func() error {
		after, err := c.inventory()
		if err == nil && after != before {
			err = fmt.Errorf("before: %s\nafter:  %s", before, after)
		}
		return err
	})
	for _, one := range c.clusters {
		c.complete(one, "the end")
	}
	c.plantLoss()
}

// lasting is how long an event itself takes.
func lasting(e schedule.Event) float64 {
	for _, word := range []string{"freeze", "cut", "fill"} {
		if strings.HasPrefix(e.Fault, word) {
			return e.Hold.Seconds()
		}
	}
	return 0
}

func settings(t *testing.T) (seed uint64, more int, short bool) {
	t.Helper()
	if os.Getenv(moreVariable) == "" {
		return shortSeed, shortMore, true
	}
	more, err := strconv.Atoi(os.Getenv(moreVariable))
	if err != nil {
		t.Fatalf("%s: %v", moreVariable, err)
	}
	seed = uint64(time.Now().UnixNano() % 1e6)
	if text := os.Getenv(seedVariable); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	return seed, more, false
}

// begin brings a Berth up whose etcds have a disk that can be filled, and clusters under
// load: one of one node, one of two, and in the long run one whose control plane has
// three replicas.
func begin(t *testing.T, short bool) *chaos {
	t.Helper()
	e := harness.New(t)
	c := &chaos{env: e, volumes: filepath.Join(e.State, "machine", "volumes")}
	if err := os.MkdirAll(c.volumes, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", c.volumes, "tmpfs", 0, diskSize); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := e.Try("berth", "down", "--state-dir", e.State); err != nil {
			t.Errorf("berth down: %v\n%s", err, out)
		}
		_ = unix.Unmount(c.volumes, unix.MNT_DETACH)
	})
	e.Up()
	c.management = e.ManagementClient()
	if err := c.backUpOften(); err != nil {
		t.Fatal(err)
	}
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	var running sync.WaitGroup
	c.clusters = []*cluster{{name: "chaos1", nodes: 1, members: 1}, {name: "chaos2", nodes: 2, members: 1}}
	if !short {
		c.clusters = append(c.clusters, &cluster{name: "chaos3", nodes: 1, members: 3})
	}
	for _, one := range c.clusters {
		running.Go(func() {
			if out, err := e.Try("berth", "cluster", "create", "-g", "rg1", "-n", one.name, "-c", strconv.Itoa(one.nodes), "--tier", one.tier()); err != nil {
				t.Errorf("create %s: %v\n%s", one.name, err, out)
			}
		})
	}
	if running.Wait(); t.Failed() {
		t.FailNow()
	}
	for _, one := range c.clusters {
		e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", one.name)
		found, err := e.ManagedCluster(one.name)
		if err != nil {
			t.Fatal(err)
		}
		one.id = found.Spec.ID
		one.load = load.Start(t.Context(), &running, e.Clientset(one.name).CoreV1().ConfigMaps(writesTo))
	}
	t.Cleanup(running.Wait) // the test's context has ended by then
	c.settle("the start", time.Now())
	return c
}

// atRandom does what is left of the schedule, one thing on top of the other. What a fault
// is done to may be away because of another, but not always.
func (c *chaos) atRandom(events []schedule.Event) {
	var running sync.WaitGroup
	var done, inVain atomic.Int32
	for n, event := range events {
		if event.Gap == 0 {
			continue
		}
		time.Sleep(event.Gap)
		c.env.T.Logf("%d of %d: %s", n+1, len(events), event)
		running.Go(func() {
			if err := c.inject(event); err != nil {
				inVain.Add(1)
				c.env.T.Logf("%s came to nothing: %v", event.Fault, err)
				return
			}
			done.Add(1)
		})
	}
	running.Wait()
	if done.Load() < inVain.Load() {
		c.env.T.Errorf("%d faults at random came to nothing and only %d did not", inVain.Load(), done.Load())
	}
}
