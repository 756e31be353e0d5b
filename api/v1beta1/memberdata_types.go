package v1beta1

// MemberData is how far the data of one member of etcd reach.
type MemberData struct {
	// Term and Index are those of the last entry of its log.
	Term  int64 `json:"term,omitempty"`
	Index int64 `json:"index,omitempty"`
	// Damage is what is wrong with the data; empty if they are sound.
	Damage string `json:"damage,omitempty"`
}
