package addon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/tenant"
)

const (
	// eventSource is what events in a managed cluster come from.
	eventSource = "addon-manager"
	// reasonPutBack is their reason.
	reasonPutBack = "PutBack"
)

// newPutBackMetric registers the counter, or finds the one of an earlier manager.
func newPutBackMetric() (*prometheus.CounterVec, error) {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_addon_putback_total", Help: "Changes of managed components that were put back.",
	}, []string{"namespace", "cluster", "kind", "name"})
	err := metrics.Registry.Register(counter)
	var earlier prometheus.AlreadyRegisteredError
	if errors.As(err, &earlier) {
		if there, ok := earlier.ExistingCollector.(*prometheus.CounterVec); ok {
			return there, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("register metrics of add-ons: %w", err)
	}
	return counter, nil
}

// tell counts what was put back and says so in the cluster, on the object.
func (p *pass) tell(ctx context.Context, ref tenant.Ref, object *unstructured.Unstructured, what string) {
	times, wait := p.keeper.putBack(p.id, ref, what, p.plan, p.Now())
	p.putBacks.WithLabelValues(p.cluster.Namespace, p.cluster.Name, ref.Kind, ref.Name).Inc()
	message := fmt.Sprintf("put back, since %s: managed components are the service's (A7)", what)
	if wait > 0 {
		message += fmt.Sprintf("; it was put back %d times now, and the next time waits %s", times, wait)
	}
	log.FromContext(ctx).Info("a managed component was put back", "cluster", p.id, "object", ref.String(), "what", what, "times", times)
	p.log.Record(ctx, activity.Notice{
		Object: p.cluster, ActivityNotice: v1beta1.ActivityNotice{Reason: reasonPutBack, Warning: true, Message: ref.String() + " was " + message},
		// One that is fought over would fill the log.
		Occasion: ref.String() + p.Now().Truncate(time.Hour).String(),
	})
	if err := p.event(ctx, ref, object, message); err != nil {
		// It is for people and holds nothing up.
		log.FromContext(ctx).Info("an event on a managed component could not be written", "object", ref.String(), "error", err.Error())
	}
}

// event is one for each object, which counts.
func (p *pass) event(ctx context.Context, ref tenant.Ref, object *unstructured.Unstructured, message string) error {
	sum := sha256.Sum256([]byte(ref.GroupVersionKind.String() + ref.ObjectKey.String()))
	key := client.ObjectKey{Namespace: ref.Namespace, Name: eventSource + "." + hex.EncodeToString(sum[:8])}
	if key.Namespace == "" {
		key.Namespace = metav1.NamespaceDefault
	}
	now := metav1.NewTime(p.Now())
	var event corev1.Event
	err := p.target.Get(ctx, key, &event)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	missing := apierrors.IsNotFound(err)
	if missing {
		event = corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
			Reason:     reasonPutBack, Type: corev1.EventTypeWarning, FirstTimestamp: now,
			Source: corev1.EventSource{Component: eventSource}, ReportingController: eventSource,
		}
	}
	version, kind := ref.ToAPIVersionAndKind()
	event.InvolvedObject = corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: ref.Namespace, Name: ref.Name, UID: object.GetUID()}
	event.Message, event.LastTimestamp, event.Count = message, now, event.Count+1
	if missing {
		return p.target.Create(ctx, &event)
	}
	return p.target.Update(ctx, &event)
}
