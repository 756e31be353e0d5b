package addon

import "fmt"

// Names are the managed objects that clusters have, as kind/namespace/name; without a
// namespace for a kind that has none. What carries their labels may be the customer's:
// their names tell. An error says that they cannot be rendered.
func Names() (map[string]bool, error) {
	objects, err := Render(Input{
		ControlPlaneAddress: "100.65.0.1", PodCIDR: "10.244.0.0/16", DNSServiceIP: "10.0.0.10", NetworkAgent: true, NetworkPolicy: true, Nodes: 2,
	})
	if err != nil {
		return nil, fmt.Errorf("names of the managed components: %w", err)
	}
	names := make(map[string]bool, len(objects))
	for _, object := range objects {
		names[object.GetObjectKind().GroupVersionKind().Kind+"/"+object.GetNamespace()+"/"+object.GetName()] = true
	}
	return names, nil
}
