package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Has says whether an image can be pulled by its reference, with or without a host: its
// manifest is here, in the store or in a layout. An error says that nobody can tell now.
func (r *Registry) Has(reference string) (bool, error) {
	if host, rest, ok := strings.Cut(reference, "/"); ok && strings.ContainsAny(host, ".:") {
		reference = rest
	}
	name, digest, byDigest := strings.Cut(reference, "@")
	tag := digest
	if !byDigest {
		name, tag = cutLast(reference, ":")
	}
	if !repositoryName.MatchString(name) {
		return false, nil
	}
	found, _, err := r.resolve(name, tag)
	var answer *apiError
	switch {
	case err == nil:
		_, there := r.find(found)
		return there, nil
	case errors.As(err, &answer) && answer.status < http.StatusInternalServerError:
		return false, nil
	default:
		return false, fmt.Errorf("look for image %s: %w", reference, err)
	}
}
