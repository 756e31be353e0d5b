package eventgrid

import "berth.dev/berth/internal/arm"

// source is what can have event subscriptions. A list of the first two has those of what is
// below too, which are not those of a location.
type source struct {
	path  string
	find  arm.Find
	below bool
}

func (p provider) sources() []source {
	return []source{
		{arm.SubscriptionRoute, p.SubscriptionTarget, true},
		{arm.GroupRoute, p.GroupTarget, true},
		{arm.ClusterRoute, p.ClusterTarget, false},
	}
}
