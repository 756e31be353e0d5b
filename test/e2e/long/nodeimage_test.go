package long

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// keepsImage asks for the newest node image where it is already: that succeeds, and
// no node is touched.
func keepsImage(e *harness.Env) {
	before := nodesOf(e, "work")
	upgradeImage(e, "work")
	if now := nodesOf(e, "work"); now != before {
		e.T.Errorf("nodes were made anew: %s, before %s", now, before)
	}
}

// fromSnapshot takes a snapshot of the pool that went back, and makes a pool of it
// when Berth has a newer node image: the new pool has the older version and image.
func fromSnapshot(e *harness.Env) {
	var pool, snapshot struct{ ID, NodeImageVersion string }
	e.Decode(e.Run("az", "aks", "nodepool", "show", "-g", "rg1", "--cluster-name", "hand", "-n", "work", "-o", "json"), &pool)
	e.Decode(e.Run("az", "aks", "nodepool", "snapshot", "create", "-g", "rg1", "-n", "s1", "--nodepool-id", pool.ID, "-o", "json"), &snapshot)
	if snapshot.NodeImageVersion != pool.NodeImageVersion {
		e.T.Errorf("the snapshot has node image %s, the pool %s", snapshot.NodeImageVersion, pool.NodeImageVersion)
	}
	newImage(e)
	e.Run("az", "aks", "nodepool", "add", "-g", "rg1", "--cluster-name", "hand", "-n", "snap", "-c", "1", "--mode", "User", "--snapshot-id", snapshot.ID)
	checkPool(e, "snap", middle, snapshot.NodeImageVersion)
}

// newImage builds a node image and brings it to the service. It is the build of
// `berth nodeimage build --force` but for Debian's packages: the test's network
// namespace has no way out. The management machine is made of it too and starts
// again, and clusters come back with it.
func newImage(e *harness.Env) {
	e.Build("build", "--again", "node-version")
	e.Up()
	e.Eventually("the nodes are ready again", 5*time.Minute, func() error {
		out, err := e.TryCluster("hand", "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=10s")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func upgradesImage(e *harness.Env) {
	var profile struct{ LatestNodeImageVersion string }
	e.Decode(e.Run("az", "aks", "nodepool", "get-upgrades", "-g", "rg1", "--cluster-name", "hand", "--nodepool-name", "snap", "-o", "json"), &profile)
	upgradeImage(e, "snap")
	checkPool(e, "snap", middle, profile.LatestNodeImageVersion)
	if work := nodesOf(e, "work"); strings.Contains(work, profile.LatestNodeImageVersion) {
		e.T.Errorf("another pool went along: %s", work)
	}
}

// upgradeImage waits by itself: az does so for a version alone.
func upgradeImage(e *harness.Env, pool string) {
	started := time.Now()
	e.Run("az", "aks", "nodepool", "upgrade", "-g", "rg1", "--cluster-name", "hand", "-n", pool, "--node-image-only", "-y")
	e.Run("az", "aks", "nodepool", "wait", "-g", "rg1", "--cluster-name", "hand", "-n", pool, "--updated", "--interval", "2", "--timeout", "600")
	e.T.Logf("the node image of pool %s was asked for and done in %.1f s", pool, time.Since(started).Seconds())
}

// nodesOf are a pool's nodes: boot ids, of which each start of a machine has another,
// versions and node images.
func nodesOf(e *harness.Env, pool string) string {
	e.T.Helper()
	return e.Cluster("hand", "get", "nodes", "-l", "agentpool="+pool, "-o",
		`jsonpath={range .items[*]}{.status.nodeInfo.bootID} {.status.nodeInfo.kubeletVersion} {.metadata.labels.kubernetes\.azure\.com/node-image-version} {end}`)
}

// checkPool compares what ARM says of a pool, and what its one node is, with a version
// and a node image.
func checkPool(e *harness.Env, pool, version, image string) {
	e.T.Helper()
	var shown struct{ CurrentOrchestratorVersion, NodeImageVersion, ProvisioningState string }
	e.Decode(e.Run("az", "aks", "nodepool", "show", "-g", "rg1", "--cluster-name", "hand", "-n", pool, "-o", "json"), &shown)
	if shown.CurrentOrchestratorVersion != version || shown.NodeImageVersion != image || shown.ProvisioningState != "Succeeded" {
		e.T.Errorf("pool %s is %+v, want %s and %s", pool, shown, version, image)
	}
	if node := nodesOf(e, pool); strings.Count(node, " ") != 3 || !strings.Contains(node, " v"+version+" "+image+" ") {
		e.T.Errorf("the node of pool %s is %s, want one with %s and %s", pool, node, version, image)
	}
}
