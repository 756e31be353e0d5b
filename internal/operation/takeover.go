package operation

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// takeover is how long a Berth may be at work still that another build has taken the
	// place of: what the new one's ARM lets in, the old one may not know.
	takeover = time.Minute
	// TakeoverAgain is how soon to look again whether it has gone.
	TakeoverAgain = 2 * time.Second
)

// MayBeOfNewer says whether what is asked of an object and not known here may be known to a
// build of Berth that is about to take over: it was written just now.
func MayBeOfNewer(object client.Object, now time.Time) bool {
	written := object.GetCreationTimestamp().Time
	for _, entry := range object.GetManagedFields() {
		if entry.Time != nil && entry.Subresource == "" && entry.Time.After(written) {
			written = entry.Time.Time
		}
	}
	return now.Sub(written).Abs() < takeover
}
