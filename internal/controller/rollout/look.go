package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/policy/rollout"
)

// keptRollouts is how many are kept, the one at work included.
const keptRollouts = 20

// look brings the rollout at work one step on. What the cache has of the clusters is
// enough to wait; to write, they are read as they are.
func (r *reconciler) look(ctx context.Context) (time.Duration, error) {
	all, err := r.rollouts(ctx)
	if err != nil {
		return 0, err
	}
	in, err := r.input(ctx, r.client, all)
	if err != nil {
		return 0, err
	}
	decided, err := in.decide(r.Now())
	if err != nil {
		return 0, err
	}
	if in.same(decided) {
		return decided.Again, nil
	}
	if in, err = r.input(ctx, r.reader, all); err != nil {
		return 0, err
	}
	if decided, err = in.decide(r.Now()); err != nil {
		return 0, err
	}
	// Who dies after the first write goes on from it: the status says how far clusters may go.
	if err := r.writeStatus(ctx, in.Rollout, decided.Status); err != nil {
		return 0, err
	}
	return decided.Again, r.writeClusters(ctx, in, decided)
}

// rollouts are all of them, the newest first, after what is to be done about their number:
// one of the images of the catalogue is at work, older ones have ended.
func (r *reconciler) rollouts(ctx context.Context) ([]v1beta1.ComponentRollout, error) {
	var list v1beta1.ComponentRolloutList
	if err := r.reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list rollouts: %w", err)
	}
	all := list.Items
	slices.SortFunc(all, func(a, b v1beta1.ComponentRollout) int { return int(b.Spec.Number - a.Spec.Number) })
	images := rollout.ImagesOf(r.Catalogue)
	if len(all) == 0 || !maps.Equal(all[0].Spec.Images, images) {
		number := int32(1)
		if len(all) > 0 {
			number = all[0].Spec.Number + 1
		}
		made := v1beta1.ComponentRollout{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("rollout-%d", number)},
			Spec:       v1beta1.ComponentRolloutSpec{Number: number, Images: images},
		}
		if len(all) > 0 && all[0].Status.State != v1beta1.RolloutCompleted {
			since := metav1.NewTime(rollout.WindowsSince(&all[0]))
			made.Spec.WindowsSince, made.Spec.Expedited = &since, all[0].Spec.Expedited
		}
		if err := r.client.Create(ctx, &made); err != nil {
			return nil, fmt.Errorf("make %s: %w", made.Name, err)
		}
		all = slices.Insert(all, 0, made)
	}
	for i := range all[1:] {
		old := &all[i+1]
		if old.Status.State != v1beta1.RolloutCompleted && old.Status.State != v1beta1.RolloutSuperseded {
			if err := r.writeStatus(ctx, old, rollout.Supersede(old.Status, all[0].Name, r.Now())); err != nil {
				return nil, err
			}
		}
	}
	for _, i := range outdated(all) {
		if err := r.client.Delete(ctx, &all[i]); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("remove %s: %w", all[i].Name, err)
		}
	}
	return all, nil
}

// outdated are the places of those that are not kept: the oldest, but for the newest one
// that was completed, whose images new clusters get while a later one is stopped.
func outdated(all []v1beta1.ComponentRollout) []int {
	var old []int
	completed := slices.IndexFunc(all, func(one v1beta1.ComponentRollout) bool { return one.Status.State == v1beta1.RolloutCompleted })
	for i := keptRollouts; i < len(all); i++ {
		if i != completed {
			old = append(old, i)
		}
	}
	return old
}

// input is what is decided on, with the clusters that it is of.
type input struct {
	rollout.Input
	clusters map[types.NamespacedName]*v1beta1.ManagedCluster
	registry *memory
}

// decide is refused where the registry could not tell of every image that was asked for.
func (in input) decide(now time.Time) (rollout.Decision, error) {
	decided := rollout.Decide(in.Input, now)
	return decided, in.registry.err
}

// same says whether a decision changes nothing.
func (in input) same(decided rollout.Decision) bool {
	return len(decided.Clusters) == 0 && equality.Semantic.DeepEqual(in.Rollout.Status, decided.Status)
}

func (r *reconciler) input(ctx context.Context, reader client.Reader, all []v1beta1.ComponentRollout) (input, error) {
	var service v1beta1.ServicePolicy
	if err := reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return input{}, fmt.Errorf("read service policy: %w", err)
	}
	var clusters v1beta1.ManagedClusterList
	if err := reader.List(ctx, &clusters); err != nil {
		return input{}, fmt.Errorf("list clusters: %w", err)
	}
	opens, err := r.opens(ctx, reader)
	if err != nil {
		return input{}, err
	}
	registry := &memory{ask: r.Pullable, known: map[string]bool{}}
	pullable := registry.pullable
	in := input{
		Input:    rollout.Input{Rollout: &all[0], Plan: rollout.PlanOf(service.Spec), Begun: r.begun, Pullable: pullable},
		clusters: map[types.NamespacedName]*v1beta1.ManagedCluster{}, registry: registry,
	}
	for i := range all[1:] {
		if old := &all[i+1]; old.Status.State == v1beta1.RolloutCompleted && rollout.AllPullable(old.Spec.Images, pullable) {
			in.Base = old
			break
		}
	}
	for i := range clusters.Items {
		cluster := &clusters.Items[i]
		if !cluster.DeletionTimestamp.IsZero() {
			continue
		}
		in.clusters[client.ObjectKeyFromObject(cluster)] = cluster
		observed := rollout.Observe(cluster, r.Catalogue, pullable)
		observed.Opens = opens[cluster.UID]
		in.Fleet = append(in.Fleet, observed)
	}
	return in, nil
}

// memory asks the registry once for each image.
type memory struct {
	ask   func(image string) (bool, error)
	known map[string]bool
	err   error
}

func (m *memory) pullable(image string) bool {
	there, asked := m.known[image]
	if !asked {
		var err error
		there, err = m.ask(image)
		m.known[image], m.err = there, errors.Join(m.err, err)
	}
	return there
}

// writeStatus writes a rollout's status and tells what is news. What was decided on an older
// one is refused as a conflict.
func (r *reconciler) writeStatus(ctx context.Context, one *v1beta1.ComponentRollout, next v1beta1.ComponentRolloutStatus) error {
	if equality.Semantic.DeepEqual(one.Status, next) {
		return nil
	}
	last := one.Status
	one.Status = next
	if err := r.client.Status().Update(ctx, one); err != nil {
		return fmt.Errorf("write status of %s: %w", one.Name, err)
	}
	r.tell(one, last)
	return nil
}

// writeClusters says in each cluster's status which images it may have. One that changed
// meanwhile holds no other up.
func (r *reconciler) writeClusters(ctx context.Context, in input, decided rollout.Decision) error {
	var late []error
	for key, next := range decided.Clusters {
		cluster := in.clusters[key]
		err := apply.Status(ctx, r.client, cluster, statusOwner, &struct {
			ComponentRollout v1beta1.ClusterRollout `json:"componentRollout"`
		}{next}, cluster.ResourceVersion)
		if err != nil {
			late = append(late, fmt.Errorf("cluster %s: %w", key, err))
			continue
		}
		r.tellCluster(ctx, cluster, next)
	}
	return errors.Join(late...)
}
