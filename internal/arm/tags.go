package arm

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// ARM's limits of tags.
const (
	maxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

// CheckTags holds a resource's tags to ARM's limits; names are compared without case.
func CheckTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return Errorf(http.StatusBadRequest, "TooManyTags", "The resource has %d tags; at most %d are allowed.", len(tags), maxTags)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		lower := strings.ToLower(name)
		switch {
		case name == "" || len(name) > maxTagName || strings.ContainsAny(name, `<>%&\?/`):
			return InvalidParameter("tags", "The tag name '%s' is invalid: 1 to %d characters without <>%%&\\?/.", short(name), maxTagName)
		case len(tags[name]) > maxTagValue:
			return InvalidParameter("tags", "The value of tag '%s' is longer than %d characters.", short(name), maxTagValue)
		case seen[lower]:
			return InvalidParameter("tags", "The tag name '%s' is there twice, in different casing.", short(name))
		}
		seen[lower] = true
	}
	return nil
}
