package activity

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const (
	// patience is how long an act waits for its entry.
	patience = 2 * time.Second
	// maxText bounds what an entry has of a message, in bytes.
	maxText = 1024
)

// Log writes entries.
type Log struct {
	Client client.Client
	Now    func() time.Time
	// Log tells of entries that could not be written.
	Log *slog.Logger
}

// Begin writes the entry of an act that has not begun yet. It returns nil if that did
// not succeed: the act goes on without.
func (l Log) Begin(ctx context.Context, namespace, name string, spec v1beta1.ActivitySpec) *v1beta1.ActivityLogEntry {
	spec.Time = metav1.NewMicroTime(l.Now())
	entry := &v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: bounded(spec)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := l.Client.Create(ctx, entry); err != nil {
		l.lost(entry, err)
		return nil
	}
	return entry
}

// Answer adds to a request's entry what ARM answered. The entry may be nil.
func (l Log) Answer(ctx context.Context, entry *v1beta1.ActivityLogEntry, code v1beta1.ActivityCode, httpStatus int, cause *v1beta1.OperationError) {
	if entry == nil {
		return
	}
	before := entry.DeepCopy()
	entry.Status.Answer = &v1beta1.ActivityResult{Time: metav1.NewMicroTime(l.Now()), Code: code, HTTPStatus: int32(httpStatus), Error: boundedError(cause)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := l.Client.Status().Patch(ctx, entry, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		l.lost(entry, err)
	}
}

func (l Log) lost(entry *v1beta1.ActivityLogEntry, err error) {
	l.Log.Error("an entry of the activity log could not be written", "entry", entry.Name, "subscription", entry.Namespace,
		"caller", entry.Spec.Caller, "operation", entry.Spec.Operation, "resource", entry.Spec.ResourceID, "error", err)
}

// create writes an entry that may be there already, and returns whether it is new.
func (l Log) create(ctx context.Context, entry *v1beta1.ActivityLogEntry) (bool, error) {
	err := l.Client.Create(ctx, entry)
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write entry %s of the activity log: %w", entry.Name, err)
	}
	return true, nil
}

// bounded is an entry of a size that does not depend on what was asked: paths and names are
// as long as whoever asks wants them.
func bounded(spec v1beta1.ActivitySpec) v1beta1.ActivitySpec {
	for _, text := range []*string{&spec.Operation, &spec.ResourceID, &spec.Caller, &spec.CorrelationID} {
		*text = Clip(*text)
	}
	if spec.Request != nil {
		request := *spec.Request
		request.ClientRequestID, request.ClientAddress = Clip(request.ClientRequestID), Clip(request.ClientAddress)
		spec.Request = &request
	}
	if spec.Notice != nil {
		notice := *spec.Notice
		notice.Message = Clip(notice.Message)
		notice.Data = maps.Clone(notice.Data)
		for key, value := range notice.Data {
			notice.Data[key] = Clip(value)
		}
		spec.Notice = &notice
	}
	return spec
}

func boundedError(cause *v1beta1.OperationError) *v1beta1.OperationError {
	if cause == nil {
		return nil
	}
	return &v1beta1.OperationError{Code: cause.Code, Message: Clip(cause.Message), Target: Clip(cause.Target)}
}

// Clip shortens a text to what an entry has of one, which is what Kubernetes takes as an
// event's note too: 1,024 bytes, at a whole character.
func Clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
