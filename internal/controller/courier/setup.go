package courier

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
)

// maxConcurrent is how many endpoints are sent to at the same time, one event each. An
// endpoint that hangs takes one of them for half a minute, and is left alone after that.
const maxConcurrent = 256

// Config is what the controllers need besides the manager.
type Config struct {
	// Own are Berth's own networks, where no endpoint is.
	Own []netip.Prefix
	Now func() time.Time
}

// Setup registers the publisher and the courier with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &publisher{client: mgr.GetClient(), reader: mgr.GetAPIReader(), published: map[string]map[types.UID]bool{}}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("event-publisher").
		Watches(&v1beta1.ActivityLogEntry{}, handler.EnqueueRequestsFromMapFunc(subscriptionOf)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(p)
	if err != nil {
		return fmt.Errorf("set up event publisher: %w", err)
	}
	c := &courier{
		Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), attempts: newMetric(),
		events: activity.Quiet(mgr.GetClient(), "berth/courier", cfg.Now),
	}
	// The counts are of this process: another courier in it counts on its own.
	if err := metrics.Registry.Register(c.attempts); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
		return fmt.Errorf("register metric of deliveries: %w", err)
	}
	err = ctrl.NewControllerManagedBy(mgr).
		Named("courier").
		For(&v1beta1.EventSubscription{}).
		Watches(&v1beta1.EventDelivery{}, handler.EnqueueRequestsFromMapFunc(addressee)).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrent}).
		Complete(c)
	if err != nil {
		return fmt.Errorf("set up courier: %w", err)
	}
	return nil
}

func newMetric() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_event_deliveries_total",
		Help: "Attempts to deliver events, by outcome: Delivered, Failed, or why an event was given up.",
	}, []string{"outcome"})
}
