package activity

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

// again is how long the same notice about the same object counts as one.
const again = time.Hour

// Notice is something that Berth tells of its own acts.
type Notice struct {
	// Caller is the part of Berth, such as berth/support.
	Caller string
	// Object is what it is about: a ManagedCluster, an AgentPool, a Machine, a
	// SupportAccess or an EventSubscription.
	Object client.Object
	v1beta1.ActivityNotice
	// Occasion tells notices of the same words apart that come more than once, or tells
	// that they are one. Empty means that they are one within an hour.
	Occasion string
}

// Tell writes a notice, once however often it is told.
func (l Log) Tell(ctx context.Context, notice Notice) error {
	id, err := l.idOf(ctx, notice.Object)
	if err != nil || id == "" {
		return err
	}
	now := l.Now()
	occasion := notice.Occasion
	if occasion == "" {
		occasion = notice.Message + now.Truncate(again).UTC().Format(time.RFC3339)
	}
	name := operation.NameOf("notice", string(notice.Object.GetUID()), notice.Reason, occasion)
	_, err = l.create(ctx, &v1beta1.ActivityLogEntry{
		ObjectMeta: metav1.ObjectMeta{Namespace: notice.Object.GetNamespace(), Name: name},
		Spec: bounded(v1beta1.ActivitySpec{
			Time: metav1.NewMicroTime(now), ResourceID: id, Caller: notice.Caller, CorrelationID: name,
			Operation: TypeOf(id) + "/events/" + notice.Reason + "/action", Notice: &notice.ActivityNotice,
		}),
	})
	return err
}

// idOf is the ARM id of one of Berth's objects; empty for what no subscription has.
func (l Log) idOf(ctx context.Context, object client.Object) (string, error) {
	switch o := object.(type) {
	case *v1beta1.ManagedCluster:
		return operation.ClusterID(o), nil
	case *v1beta1.SupportAccess:
		return o.Spec.ResourceID, nil
	case *v1beta1.EventSubscription:
		return o.Spec.Scope + "/providers/Microsoft.EventGrid/eventSubscriptions/" + o.Spec.Name, nil
	case *v1beta1.AgentPool:
		return operation.PoolID(o), nil
	case *v1beta1.Machine:
		var pool v1beta1.AgentPool
		if err := l.Client.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Spec.AgentPool}, &pool); err != nil {
			return "", client.IgnoreNotFound(err)
		}
		return operation.PoolID(&pool) + "/machines/" + o.Spec.NodeName, nil
	default:
		return "", nil
	}
}

// Recorder records events as Kubernetes' do, and in the activity log, where they outlive
// the hour that Kubernetes keeps them.
type Recorder struct {
	Log    Log
	Caller string
	events events.EventRecorder
}

// NewRecorder makes the recorder of a part of Berth, such as berth/support.
func NewRecorder(mgr ctrl.Manager, caller string, now func() time.Time) Recorder {
	return With(mgr.GetClient(), mgr.GetEventRecorder(strings.ReplaceAll(caller, "/", "-")), caller, now)
}

// With is the recorder of a caller that has its Kubernetes events recorded there.
func With(c client.Client, to events.EventRecorder, caller string, now func() time.Time) Recorder {
	recorder := Quiet(c, caller, now)
	recorder.events = to
	return recorder
}

// Quiet is a recorder for what has its Kubernetes events elsewhere: it can Record alone.
func Quiet(c client.Client, caller string, now func() time.Time) Recorder {
	return Recorder{Caller: caller, Log: Log{Client: c, Now: now, Log: slog.New(logr.ToSlogHandler(log.Log))}}
}

// Event records something about an object: its kind is Normal or Warning, as of Kubernetes'
// events.
func (r Recorder) Event(object client.Object, kind, reason, action, note string) {
	r.Show(object, kind, reason, action, note)
	r.Record(context.Background(), Notice{Object: object, ActivityNotice: v1beta1.ActivityNotice{
		Reason: reason, Message: note, Warning: kind == corev1.EventTypeWarning,
	}})
}

// Show is Event for what the log has already.
func (r Recorder) Show(object client.Object, kind, reason, action, note string) {
	r.events.Eventf(object, nil, kind, reason, action, "%s", note)
}

// Record writes a notice in the name of the recorder's caller, and holds nothing up.
func (r Recorder) Record(ctx context.Context, notice Notice) {
	notice.Caller = r.Caller
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.Log.Tell(ctx, notice); err != nil {
		r.Log.Log.Error("a notice could not be written into the activity log", "caller", r.Caller, "reason", notice.Reason,
			"object", client.ObjectKeyFromObject(notice.Object).String(), "error", err)
	}
}
