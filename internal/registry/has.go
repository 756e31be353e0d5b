package registry

import "strings"

// Has says whether an image can be pulled by its reference, with or without a host: its
// manifest is here, in the store or in a layout.
func (r *Registry) Has(reference string) bool {
	if host, rest, ok := strings.Cut(reference, "/"); ok && strings.ContainsAny(host, ".:") {
		reference = rest
	}
	name, digest, byDigest := strings.Cut(reference, "@")
	tag := digest
	if !byDigest {
		name, tag = cutLast(reference, ":")
	}
	if !repositoryName.MatchString(name) {
		return false
	}
	if digest, _, err := r.store.resolve(name, tag); err == nil {
		_, there := r.store.has(digest)
		return there
	}
	_, there := r.layouts.resolve(name, tag)
	return there
}
