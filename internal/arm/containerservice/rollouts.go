package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/rollout"
)

const (
	rolloutType  = namespace + "/componentRollouts"
	rolloutsPath = "/providers/" + rolloutType
	rolloutPath  = rolloutsPath + "/{rollout}"
	// maxBlocking is how many clusters are named that hold a rollout up.
	maxBlocking = 50
)

// rolloutRoutes are Berth's own, and for its engineers alone: a rollout is of all clusters,
// whoever's they are, and of no subscription.
func (p provider) rolloutRoutes() []arm.Route {
	const kind = "componentRollouts"
	return []arm.Route{
		{Method: http.MethodGet, Path: rolloutsPath, Type: kind, Callers: arm.Engineers, Handle: p.listRollouts},
		{Method: http.MethodGet, Path: rolloutPath, Type: kind, Callers: arm.Engineers, Handle: p.getRollout},
		{Method: http.MethodPost, Path: rolloutPath + "/stop", Type: kind, Callers: arm.Engineers, Handle: p.stopRollout},
		{Method: http.MethodPost, Path: rolloutPath + "/resume", Type: kind, Callers: arm.Engineers, Handle: p.resumeRollout},
		{Method: http.MethodPost, Path: rolloutPath + "/expedite", Type: kind, Callers: arm.Engineers, Handle: p.expediteRollout},
	}
}

// listRollouts lists them, the newest first.
func (p provider) listRollouts(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var list v1beta1.ComponentRolloutList
	if err := p.APIReader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list rollouts: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1beta1.ComponentRollout) int { return int(b.Spec.Number - a.Spec.Number) })
	var items []arm.Item
	for i := range list.Items {
		items = append(items, arm.Item{Key: fmt.Sprintf("%05d", i), Body: rolloutBody(&list.Items[i])})
	}
	return p.Page(r, items)
}

// findRollout reads the rollout that the path names.
func (p provider) findRollout(ctx context.Context, r *arm.Request) (*v1beta1.ComponentRollout, error) {
	var list v1beta1.ComponentRolloutList
	if err := p.APIReader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list rollouts: %w", err)
	}
	name := r.Parameter("rollout")
	for i := range list.Items {
		if strings.EqualFold(list.Items[i].Name, name) {
			return &list.Items[i], nil
		}
	}
	if len(name) > 128 {
		name = name[:128] + "…"
	}
	return nil, arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' was not found.", rolloutType, name)
}

// getRollout shows a rollout with its waves, and the clusters that hold it up.
func (p provider) getRollout(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.findRollout(ctx, r)
	if err != nil {
		return nil, err
	}
	return p.showRollout(ctx, found)
}

func (p provider) showRollout(ctx context.Context, found *v1beta1.ComponentRollout) (*arm.Response, error) {
	var service v1beta1.ServicePolicy
	if err := p.APIReader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read service policy: %w", err)
	}
	var clusters v1beta1.ManagedClusterList
	if err := p.APIReader.List(ctx, &clusters); err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	body := rolloutBody(found)
	properties, _ := body["properties"].(map[string]any)
	properties["waves"] = waves(rollout.PlanOf(service.Spec), &found.Status)
	properties["blocking"] = blocking(clusters.Items, found)
	return arm.OK(body)
}

func rolloutBody(one *v1beta1.ComponentRollout) map[string]any {
	status := &one.Status
	properties := map[string]any{
		"number": one.Spec.Number, "images": one.Spec.Images, "state": status.State, "reason": status.Reason, "message": status.Message,
		"wave": status.Wave, "clusters": status.Clusters, "attempt": one.Spec.Attempt, "stopped": one.Spec.Stopped, "expedited": one.Spec.Expedited,
		"created": one.CreationTimestamp.UTC().Format(time.RFC3339),
	}
	if one.Spec.RequestedBy != "" {
		properties["requestedBy"] = one.Spec.RequestedBy
	}
	for name, at := range map[string]*metav1.Time{"waveStarted": status.WaveStarted, "waveReady": status.WaveReady, "ended": status.Ended} {
		if at != nil {
			properties[name] = at.UTC().Format(time.RFC3339)
		}
	}
	return map[string]any{"id": rolloutsPath + "/" + one.Name, "name": one.Name, "type": rolloutType, "properties": properties}
}

// waves are those of the plan, and how far a rollout has come in them.
func waves(plan rollout.Plan, status *v1beta1.ComponentRolloutStatus) []any {
	all := make([]any, 0, len(plan.Waves))
	for i, wave := range plan.Waves {
		size, state, number := fmt.Sprintf("%d%%", wave.Percent), "Next", int32(i+1)
		if wave.Percent == 0 {
			size = fmt.Sprint(wave.Clusters)
		}
		switch {
		case number < status.Wave, status.State == v1beta1.RolloutCompleted:
			state = "Done"
		case number == status.Wave:
			state = string(status.State)
		}
		all = append(all, map[string]any{"wave": number, "reaches": size, "bake": wave.Bake.String(), "state": state})
	}
	return all
}

// blocking are the clusters that were reached and are not ready, or went back, those of the
// first waves first.
func blocking(clusters []v1beta1.ManagedCluster, one *v1beta1.ComponentRollout) []any {
	var found []*v1beta1.ManagedCluster
	for i := range clusters {
		at := clusters[i].Status.ComponentRollout
		if at == nil || at.Name != one.Name {
			continue
		}
		if at.Phase == v1beta1.ClusterTaking || at.Phase == v1beta1.ClusterReturned || at.Phase == v1beta1.ClusterHeld {
			found = append(found, &clusters[i])
		}
	}
	slices.SortFunc(found, func(a, b *v1beta1.ManagedCluster) int {
		if byWave := a.Status.ComponentRollout.Wave - b.Status.ComponentRollout.Wave; byWave != 0 {
			return int(byWave)
		}
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	all := []any{}
	for _, cluster := range found[:min(len(found), maxBlocking)] {
		at := cluster.Status.ComponentRollout
		subscription := strings.TrimPrefix(cluster.Namespace, v1beta1.SubscriptionNamespace(""))
		all = append(all, map[string]any{
			"id":   "/subscriptions/" + subscription + "/resourceGroups/" + cluster.Spec.ResourceGroup + "/providers/" + clusterType + "/" + cluster.Spec.Name,
			"wave": at.Wave, "phase": at.Phase, "since": at.Since.UTC().Format(time.RFC3339), "message": at.Message,
		})
	}
	return all
}

// stopRollout has a rollout reach no more clusters. What was reached keeps the images.
func (p provider) stopRollout(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.changeRollout(ctx, r, func(one *v1beta1.ComponentRollout) { one.Spec.Stopped = true })
}

// resumeRollout has a rollout that is stopped go on, where it failed first.
func (p provider) resumeRollout(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.changeRollout(ctx, r, func(one *v1beta1.ComponentRollout) {
		if one.Spec.Stopped || one.Status.State == v1beta1.RolloutStopped {
			one.Spec.Stopped, one.Spec.Attempt = false, one.Status.Attempt+1
		}
	})
}

// expediteRollout has a rollout wait for no maintenance windows.
func (p provider) expediteRollout(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.changeRollout(ctx, r, func(one *v1beta1.ComponentRollout) { one.Spec.Expedited = true })
}

// changeRollout writes what an engineer asks for, once however often it is asked.
func (p provider) changeRollout(ctx context.Context, r *arm.Request, change func(*v1beta1.ComponentRollout)) (*arm.Response, error) {
	found, err := p.findRollout(ctx, r)
	if err != nil {
		return nil, err
	}
	if state := found.Status.State; state == v1beta1.RolloutCompleted || state == v1beta1.RolloutSuperseded {
		return nil, arm.Errorf(http.StatusConflict, "RolloutEnded", "The rollout '%s' has ended (%s): the newest one is at work.", found.Name, state)
	}
	before := found.DeepCopy()
	change(found)
	if !equality.Semantic.DeepEqual(before.Spec, found.Spec) {
		found.Spec.RequestedBy = r.Caller.Name()
		if err := p.Client.Patch(ctx, found, client.MergeFrom(before)); err != nil {
			return nil, fmt.Errorf("change rollout %s: %w", found.Name, err)
		}
	}
	return p.showRollout(ctx, found)
}
