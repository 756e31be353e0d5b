package backup

import "context"

// Held says whether one of the stores, which are URLs, is known to hold backups of a
// cluster. One that does not answer in time counts as empty.
func Held(ctx context.Context, stores []string, clusterID string) bool {
	r := NewRecorder(Config{ClusterID: clusterID, Stores: stores})
	defer r.closeStores()
	for _, l := range r.lists(ctx) {
		if len(l.objects) > 0 {
			return true
		}
	}
	return false
}
