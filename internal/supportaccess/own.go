package supportaccess

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/internal/policy/access"
)

const (
	// ownTimeout bounds the look at whose an object is, and ownLimit what is read of it.
	ownTimeout = 10 * time.Second
	ownLimit   = 1 << 20
	// metadataOnly asks an API server for an object without what it holds.
	metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

// own refuses what is allowed of managed components alone where the object is none's. It
// is recorded by then: the look is made in the engineer's name, under the same audit id.
func (f *Front) own(ctx context.Context, v *visit) *apierrors.StatusError {
	if !access.OwnOnly(v.access.Spec.Scopes, v.asked) {
		return nil
	}
	labels, err := f.labels(ctx, v)
	if err != nil {
		v.book.finish(v.entry.ID, http.StatusServiceUnavailable, f.Now())
		return f.failed(ctx, "see whose an object is", err)
	}
	if access.Own(labels) {
		return nil
	}
	why := clip(fmt.Sprintf("%s in %s is for managed components alone, and %s is none's: logs of the customer's need consent to ContainerLogs, "+
		"and their configuration is not read (support policy B2)", v.asked, v.asked.Namespace, v.asked.Name), 512)
	v.book.refuse(v.entry.ID, http.StatusForbidden, why, f.Now())
	return forbidden("%s", why)
}

// labels are those of the object that a request is for, none where there is no such object.
func (f *Front) labels(ctx context.Context, v *visit) (map[string]string, error) {
	backend, err := f.reached.to(ctx, v)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ownTimeout)
	defer cancel()
	// Both kinds are of the core group.
	path := "/api/v1/namespaces/" + v.asked.Namespace + "/" + v.asked.Resource + "/" + v.asked.Name
	look, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "https", Host: backend.address, Path: path}).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the object: %w", err)
	}
	look.Header.Set("Accept", metadataOnly)
	look.Header.Set("Audit-ID", v.entry.ID)
	answer, err := backend.transport.RoundTrip(look)
	if err != nil {
		return nil, fmt.Errorf("ask for the object: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, ownLimit))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the object: %w", err)
	case answer.StatusCode == http.StatusNotFound:
		return nil, nil
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the API server answers %s", answer.Status)
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	return object.Labels, nil
}
