package autoupgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/maintenance"
)

// defaultInterval is how often channels are looked at where ServicePolicy has no figure.
const defaultInterval = time.Hour

// observe reads all that decisions need.
func (r *reconciler) observe(ctx context.Context, reader client.Reader, cluster *v1beta1.ManagedCluster) (*observation, error) {
	o := &observation{cluster: cluster, now: r.Now(), interval: defaultInterval}
	o.held = r.refusals.of(cluster, o.now)
	var service v1beta1.ServicePolicy
	if err := reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read ServicePolicy: %w", err)
	}
	if wanted := service.Spec.AutoUpgradeInterval; wanted != nil && wanted.Duration >= time.Second {
		o.interval = wanted.Duration
	}
	for _, read := range []func(context.Context, client.Reader, *observation) error{r.readPools, r.readCalendars, r.readRuns, r.readBusy} {
		if err := read(ctx, reader, o); err != nil {
			return nil, err
		}
	}
	versions := policy.Versions{Catalogue: r.Catalogue, Plan: cluster.Spec.SupportPlan, Now: o.now}
	o.work = map[string]work{
		v1beta1.MaintenanceAutoUpgrade: versionWork(o, versions),
		v1beta1.MaintenanceNodeOS:      imageWork(o, r.Catalogue),
	}
	return o, nil
}

func (r *reconciler) readPools(ctx context.Context, reader client.Reader, o *observation) error {
	var list v1beta1.AgentPoolList
	if err := reader.List(ctx, &list, client.InNamespace(o.cluster.Namespace), ofCluster(o.cluster)); err != nil {
		return fmt.Errorf("list agent pools: %w", err)
	}
	o.pools = slices.DeleteFunc(list.Items, func(pool v1beta1.AgentPool) bool { return !pool.DeletionTimestamp.IsZero() })
	slices.SortFunc(o.pools, func(a, b v1beta1.AgentPool) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func ofCluster(cluster *v1beta1.ManagedCluster) client.MatchingLabels {
	return client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
}

// readCalendars leaves out a configuration that is not valid, which admission does
// not let in.
func (r *reconciler) readCalendars(ctx context.Context, reader client.Reader, o *observation) error {
	var list v1beta1.MaintenanceConfigurationList
	if err := reader.List(ctx, &list, client.InNamespace(o.cluster.Namespace), ofCluster(o.cluster)); err != nil {
		return fmt.Errorf("list maintenance configurations: %w", err)
	}
	o.calendars = map[string]*maintenance.Calendar{}
	for i := range list.Items {
		config := &list.Items[i]
		if !metav1.IsControlledBy(config, o.cluster) || !config.DeletionTimestamp.IsZero() {
			continue
		}
		calendar, found := maintenance.New(&config.Spec, config.CreationTimestamp.Time, operation.Saved(config))
		if len(found) > 0 {
			return fmt.Errorf("maintenance configuration %s: %w", config.Name, found[0])
		}
		o.calendars[config.Spec.Name] = calendar
	}
	return nil
}

// readRuns finds the operations of runs that are under way, past any cache: one
// that was missed would begin a second time.
func (r *reconciler) readRuns(ctx context.Context, _ client.Reader, o *observation) error {
	o.runs = map[string]*v1beta1.Operation{}
	for _, schedule := range schedules {
		last := o.last(schedule)
		if last.LastResult != resultRunning || last.LastRun == nil {
			continue
		}
		for _, key := range o.keys(schedule) {
			op := &v1beta1.Operation{}
			name := operationName(o.cluster, last, key)
			err := r.reader.Get(ctx, client.ObjectKey{Namespace: o.cluster.Namespace, Name: name}, op)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read operation %s: %w", name, err)
			}
			o.runs[name] = op
		}
	}
	return nil
}

// readBusy finds another operation that holds the cluster or one of its pools.
func (r *reconciler) readBusy(ctx context.Context, reader client.Reader, o *observation) error {
	objects := []client.Object{o.cluster}
	for i := range o.pools {
		objects = append(objects, &o.pools[i])
	}
	for _, object := range objects {
		holder, err := operation.Active(ctx, reader, object)
		if err != nil {
			return err
		}
		if holder != nil && o.runs[holder.Name] == nil {
			o.busy = fmt.Sprintf("another operation (%s - %s) is in progress", holder.Spec.Target.Name, holder.Spec.State)
			return nil
		}
	}
	return nil
}
