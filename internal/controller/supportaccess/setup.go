package supportaccess

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/tenant"
)

// Config is what the controllers need besides the manager.
type Config struct {
	Tenants tenant.Source
	Now     func() time.Time
}

// Setup registers the controllers with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	recorder := activity.NewRecorder(mgr, "berth/supportaccess", cfg.Now)
	if err := (&life{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), events: recorder}).setup(mgr); err != nil {
		return err
	}
	return (&rights{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), events: recorder}).setup(mgr)
}

// clusters are those whose rights are watched, and what was last brought there.
type clusters struct {
	mu    sync.Mutex
	names map[string]types.NamespacedName
	ids   map[types.NamespacedName]string
	marks map[string]string
}

func newClusters() *clusters {
	return &clusters{names: map[string]types.NamespacedName{}, ids: map[types.NamespacedName]string{}, marks: map[string]string{}}
}

func (c *clusters) add(id string, name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[id], c.ids[name] = name, id
}

func (c *clusters) name(id string) (types.NamespacedName, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok := c.names[id]
	return name, ok
}

// drop forgets a cluster, and returns its id.
func (c *clusters) drop(name types.NamespacedName) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[name]
	delete(c.ids, name)
	delete(c.names, id)
	delete(c.marks, id)
	return id, ok
}

// brought remembers what was brought into a cluster, and says whether it is something
// else than before.
func (c *clusters) brought(id string, wanted *wantedRights) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.marks[id]
	c.marks[id] = wanted.mark()
	return before != c.marks[id]
}
