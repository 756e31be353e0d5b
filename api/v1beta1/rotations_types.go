package v1beta1

// Rotations are counters that only grow: a rotation is due while the status's
// counter is behind the spec's.
type Rotations struct {
	// Certificates is that of the cluster's CA and everything below it.
	Certificates int64 `json:"certificates,omitempty"`
	// ServiceAccountKeys is that of the keys that sign service accounts' tokens.
	ServiceAccountKeys int64 `json:"serviceAccountKeys,omitempty"`
}

// Asked are the counters, zero where nothing was asked for.
func (r *Rotations) Asked() Rotations {
	if r == nil {
		return Rotations{}
	}
	return *r
}
