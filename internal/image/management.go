package image

import (
	"context"
	"fmt"
)

// managementDir is the baked root of the management machine.
const managementDir = "baked-management"

// managementImages are what the management machine runs beside the kube and
// machine images of every version.
var managementImages = []string{"pause", "etcd", "etcd-snapshot", "konnectivity-server", "berth", "berth-node"}

// managementStep bakes the images of the management machine.
func managementStep(made []kubernetes, needs []string) Step {
	return Step{
		Name: "management", Title: "baked images for the management machine",
		Recipe: []string{"management 1", bakeConfig, fmt.Sprint(managementImages)}, Needs: needs,
		Outputs: []string{managementDir},
		Run: func(ctx context.Context, w *Work) error {
			var stores []store
			for _, name := range managementImages {
				stores = append(stores, singleStore(w, name))
			}
			for _, k := range made {
				machine := store{layout: w.Built(storeOf(k.node().name()))}
				for _, tree := range k.node().trees() {
					machine.trees = append(machine.trees, w.Built(tree))
				}
				stores = append(stores, singleStore(w, kubeImage(k.name())), machine)
			}
			_, err := bake(ctx, w, stores, w.Output(managementDir))
			return err
		},
	}
}

// singleStore is an image that has one layer.
func singleStore(w *Work, name string) store {
	return store{layout: w.Built(storeOf(name)), trees: []string{w.Built(treeOf(name))}}
}
