package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/watch"
)

// Options configure the provisioner of one node.
type Options struct {
	NodeName string // name of the Node object, which its hostname label must equal
	Class    string // StorageClass whose claims are served
	Dir      string // absolute path of the volume directory, the same inside the pod and on the node
}

// provisioner serves the claims of one class on one node. Only pass has effects, from the loop's goroutine.
type provisioner struct {
	options Options
	api     *api
	dirs    *directories
	log     *slog.Logger
	loop    *watch.Loop
	claims  *watch.Store[*corev1.PersistentVolumeClaim, claim]
	volumes *watch.Store[*corev1.PersistentVolume, volume]
	told    map[types.UID]string // what each waiting claim's owner has been told last
	orphans orphans
}

// orphans are the volumes that wait for nodes which are gone.
type orphans struct {
	after time.Duration        // how long a node must have been gone
	since map[string]time.Time // when each node was first found to be gone
}

// goneFor is how long a node's volumes wait for one whose Node was deleted by mistake: it
// registers again within minutes, and then ends them together with their data.
const goneFor = 10 * time.Minute

func newProvisioner(options Options, client *watch.Client, log *slog.Logger) (*provisioner, error) {
	api, err := newAPI(client, options.NodeName)
	if err != nil {
		return nil, err
	}
	dirs, err := openDirectories(options.Dir)
	if err != nil {
		return nil, err
	}
	p := &provisioner{
		options: options, api: api, dirs: dirs, log: log,
		loop: watch.NewLoop(), told: map[types.UID]string{}, orphans: orphans{goneFor, map[string]time.Time{}},
	}
	p.claims = watch.NewStore(keepClaim, equalClaims, p.loop.Notify)
	p.volumes = watch.NewStore(keepVolume, equalVolumes, p.loop.Notify)
	return p, nil
}

// Run provisions and removes this node's volumes until the context ends.
func Run(ctx context.Context, options Options, client *watch.Client, log *slog.Logger) error {
	p, err := newProvisioner(options, client, log)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.follow(ctx, client) })
	group.Go(func() error { p.loop.Run(ctx, log, p.pass); return nil })
	return errors.Join(group.Wait(), p.dirs.close())
}

// follow keeps up with all claims and volumes until the context ends.
func (p *provisioner) follow(ctx context.Context, client *watch.Client) error {
	group, ctx := errgroup.WithContext(ctx)
	core := corev1.SchemeGroupVersion
	group.Go(func() error {
		resource := watch.Resource{GroupVersion: core, Name: "persistentvolumeclaims", Example: &corev1.PersistentVolumeClaim{}}
		return client.Follow(ctx, resource, p.claims)
	})
	group.Go(func() error {
		resource := watch.Resource{GroupVersion: core, Name: "persistentvolumes", Example: &corev1.PersistentVolume{}}
		return client.Follow(ctx, resource, p.volumes)
	})
	return group.Wait()
}

// pass does what is due. Trouble with one volume does not keep the others from theirs.
func (p *provisioner) pass(ctx context.Context, full bool) error {
	if !p.claims.Synced() || !p.volumes.Synced() {
		return nil
	}
	var errs []error
	for _, v := range p.due() {
		errs = append(errs, p.remove(ctx, v))
	}
	wanted, waiting := p.wanted()
	for _, c := range wanted {
		errs = append(errs, p.provision(ctx, c))
	}
	for uid := range p.told {
		if !waiting[uid] {
			delete(p.told, uid)
		}
	}
	if full {
		errs = append(errs, p.removeLeftovers(), p.removeOrphans(ctx))
	}
	return errors.Join(append(errs, p.dirs.clean())...)
}

// due lists the volumes that are to be removed.
func (p *provisioner) due() []volume {
	var out []volume
	p.volumes.Each(func(_ string, v volume) {
		if decideVolume(v, p.dirs.path, p.options.NodeName) != nothing {
			out = append(out, v)
		}
	})
	return out
}

// wanted lists the claims that wait for a volume which this node could give.
func (p *provisioner) wanted() ([]claim, map[types.UID]bool) {
	var out []claim
	waiting := map[types.UID]bool{}
	p.claims.Each(func(_ string, c claim) {
		_, exists := p.volumes.Get(c.volumeName())
		if decideClaim(c, p.options.Class, p.options.NodeName, exists) != nothing {
			out = append(out, c)
			waiting[c.uid] = true
		}
	})
	return out, waiting
}

// remove carries out what decideVolume says about v.
func (p *provisioner) remove(ctx context.Context, v volume) error {
	if decideVolume(v, p.dirs.path, p.options.NodeName) == discard {
		if err := p.dirs.discard(v.name); err != nil {
			return err
		}
		p.log.Info("volume discarded", "volume", v.name)
	}
	if !v.deleting {
		if err := p.api.delete(ctx, v.name); err != nil {
			return err
		}
	}
	return p.api.release(ctx, v.name)
}

// removeOrphans lets the volumes go that wait for nodes which have been gone for long.
func (p *provisioner) removeOrphans(ctx context.Context) error {
	waiting := map[string][]string{}
	p.volumes.Each(func(_ string, v volume) {
		if orphaned(v, p.dirs.path, p.options.NodeName) {
			waiting[v.node] = append(waiting[v.node], v.name)
		}
	})
	maps.DeleteFunc(p.orphans.since, func(node string, _ time.Time) bool { return waiting[node] == nil })
	var errs []error
	for node, names := range waiting {
		gone, err := p.goneForLong(ctx, node)
		if errs = append(errs, err); !gone {
			continue
		}
		for _, name := range names {
			if err := errors.Join(p.api.delete(ctx, name), p.api.release(ctx, name)); err != nil {
				errs = append(errs, err)
				continue
			}
			p.log.Info("volume of a node that is gone removed", "volume", name, "node", node)
		}
	}
	return errors.Join(errs...)
}

func (p *provisioner) goneForLong(ctx context.Context, node string) (bool, error) {
	gone, err := p.api.nodeGone(ctx, node)
	if err != nil {
		return false, err
	}
	if !gone {
		delete(p.orphans.since, node)
		return false, nil
	}
	if p.orphans.since[node].IsZero() {
		p.orphans.since[node] = time.Now()
	}
	return time.Since(p.orphans.since[node]) >= p.orphans.after, nil
}

// provision gives a claim its volume, or tells its owner why not.
func (p *provisioner) provision(ctx context.Context, c claim) error {
	pvc, class, err := p.fetch(ctx, c)
	if err != nil || pvc == nil {
		return err
	}
	immediate := class.VolumeBindingMode == nil || *class.VolumeBindingMode == storagev1.VolumeBindingImmediate
	if decideClaim(c, p.options.Class, p.options.NodeName, false) == offer && !immediate {
		return nil // its first consumer decides where
	}
	refusal := refuse(pvc, class)
	if refusal == nil {
		refusal = p.checkSpace(pvc)
	}
	if refusal != nil {
		return p.tell(ctx, c, refusal)
	}
	name := c.volumeName()
	if err := p.dirs.make(name); err != nil {
		return err
	}
	pv, err := p.api.create(ctx, build(pvc, class, name, p.dirs.pathOf(name), p.options.NodeName))
	if err != nil {
		return err
	}
	if nodeOf(pv) != p.options.NodeName {
		return p.dirs.removeEmpty(name) // another node was faster
	}
	p.log.Info("volume provisioned", "volume", name, "claim", c.namespace+"/"+c.name)
	return p.api.event(ctx, c, corev1.EventTypeNormal, "ProvisioningSucceeded", "Provisioned local volume "+name)
}

// fetch reads the claim and its class as they are now. A claim that has gone or changed meanwhile is nil.
func (p *provisioner) fetch(ctx context.Context, c claim) (*corev1.PersistentVolumeClaim, *storagev1.StorageClass, error) {
	pvc, err := p.api.claim(ctx, c.namespace, c.name)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if now, _ := keepClaim(pvc); now != c {
		return nil, nil, nil // the watch will bring the change
	}
	class, err := p.api.class(ctx, c.class)
	if apierrors.IsNotFound(err) {
		return nil, nil, p.tell(ctx, c, err)
	}
	return pvc, class, err
}

func (p *provisioner) checkSpace(pvc *corev1.PersistentVolumeClaim) error {
	free, err := p.dirs.free()
	if err != nil {
		return err
	}
	request := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	if needed := min(request.Value(), reserve); free < needed {
		return fmt.Errorf("node %s has %d MiB free in %s, the volume needs at least %d MiB",
			p.options.NodeName, free>>20, p.options.Dir, needed>>20)
	}
	return nil
}

// tell records an event about a refusal, once for each claim and refusal.
func (p *provisioner) tell(ctx context.Context, c claim, refusal error) error {
	if p.told[c.uid] == refusal.Error() {
		return nil
	}
	p.log.Warn("claim refused", "claim", c.namespace+"/"+c.name, "error", refusal)
	if err := p.api.event(ctx, c, corev1.EventTypeWarning, "ProvisioningFailed", refusal.Error()); err != nil {
		return err
	}
	p.told[c.uid] = refusal.Error()
	return nil
}

// removeLeftovers removes empty directories without claim and volume, left by a crash between the two steps of
// provisioning. One that is not empty held data of a volume that somebody forced away; it is left to people.
func (p *provisioner) removeLeftovers() error {
	names, err := p.dirs.list()
	if err != nil {
		return err
	}
	claimed := map[string]bool{}
	p.claims.Each(func(_ string, c claim) { claimed[c.volumeName()] = true })
	for _, name := range names {
		if _, exists := p.volumes.Get(name); exists || claimed[name] {
			continue
		}
		if err := p.dirs.removeEmpty(name); err != nil {
			p.log.Warn("directory without a volume is not empty and stays", "path", p.dirs.pathOf(name))
		}
	}
	return nil
}
