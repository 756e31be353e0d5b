package arm

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
)

// DerivedID is a GUID that depends on nothing but its parts: the same parts give
// the same one. ETags and the ids of identities are made so.
func DerivedID(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprintln(parts...)))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// CheckPreconditions holds a write to its If-Match and If-None-Match headers.
// The current ETag is "" while the resource does not exist.
func (r *Request) CheckPreconditions(current string) error {
	match, noneMatch := precondition(r.Header, "If-Match"), precondition(r.Header, "If-None-Match")
	switch {
	case match != "" && noneMatch != "":
		return InvalidParameter("If-None-Match", "If-Match and If-None-Match cannot be used together.")
	case noneMatch != "" && noneMatch != "*":
		return InvalidParameter("If-None-Match", "The header If-None-Match must be '*' or empty.")
	case noneMatch == "*" && current != "":
		return Errorf(http.StatusPreconditionFailed, "PreconditionFailed", "The resource exists already, and If-None-Match was '*'.")
	case match == "" || current != "" && (match == "*" || match == current):
		return nil
	case current == "":
		return Errorf(http.StatusPreconditionFailed, "PreconditionFailed", "The resource does not exist, and If-Match was given.")
	default:
		return Errorf(http.StatusPreconditionFailed, "PreconditionFailed", "The resource has changed: its eTag is not the one in If-Match. Get it and try again.")
	}
}

// precondition is a header's ETag without quotes or a mark of weakness.
func precondition(header http.Header, name string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(header.Get(name)), "W/"), `"`)
}
