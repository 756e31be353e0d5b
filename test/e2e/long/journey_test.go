package long

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/test/harness"
)

// The versions of the journey: the oldest and the earlier patch are not part of every
// build and are added.
const oldest, earlier, middle, newest = "1.35.4", "1.36.1", "1.36.3", "1.37.2"

// journey is what later steps know of earlier ones.
type journey struct {
	load *harness.Load
	// asked is how often the load was asked up to the last check.
	asked int
}

// TestJourney brings clusters from 1.35 over 1.36 to 1.37 on one Berth, by hand under
// load and by themselves.
func TestJourney(t *testing.T) {
	e := harness.New(t)
	e.OwnRepository()
	e.Up()
	e.Run("berth", "login", "az", "--state-dir", e.State)
	e.Run("az", "group", "create", "-n", "rg1", "-l", "westus2")
	j := &journey{}
	e.Journey(t, []harness.Step{
		{Name: "a version is added while a cluster runs", Run: addsVersion},
		{Name: "from one patch to the next: the control plane by hand, the pool by the channel patch", Run: patches},
		{Name: "a cluster of the oldest version, under load", Run: j.create},
		{Name: "an upgrade that skips a minor is refused", Run: refusesSkip},
		{Name: "from 1.35 to 1.36 by hand", Run: func(e *harness.Env) { j.upgrade(e, middle) }},
		{Name: "from 1.36 to 1.37 by hand", Run: func(e *harness.Env) { j.upgrade(e, newest) }},
		{Name: "a pool goes back to its version before", Run: j.rollsBack},
		{Name: "a pool with the newest node image stays as it is", Run: keepsImage},
		{Name: "a pool of a snapshot has its version and node image, newer ones or not", Run: fromSnapshot},
		{Name: "the pool gets the newest node image and keeps its version", Run: upgradesImage},
		{Name: "from 1.35 to 1.37 by the channel rapid", Run: upgradesItself},
		{Name: "from 1.35 to 1.37 at once under long-term support", Run: skipsMinor},
	})
}

// addsVersion builds a version on a Berth that is up. The management cluster stays
// up, and so do clusters: their API servers answer every question meanwhile.
func addsVersion(e *harness.Env) {
	e.Run("az", "aks", "create", "-g", "rg1", "-n", "running", "--no-ssh-key", "-k", middle, "-c", "1")
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "running")
	if out := versions(e); strings.Contains(out, oldest) {
		e.T.Fatalf("%s is offered already: this test would show nothing: %s", oldest, out)
	}
	management := e.Management("get", "node", "-o", "jsonpath={.items[*].status.nodeInfo.bootID}")
	system, nodes := systemUID(e), e.Kubelets("running", "nodepool1")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "running"))
	started := time.Now()
	e.Build("release", "add", oldest, "--state-dir", e.State)
	e.T.Logf("added in %.1f s", time.Since(started).Seconds())
	// It answers at once, without a wait.
	if out := versions(e); !strings.Contains(out, oldest) {
		e.T.Errorf("berth version list does not offer %s: %s", oldest, out)
	}
	if out := e.Run("az", "aks", "get-versions", "-l", "westus2", "-o", "json"); !strings.Contains(out, oldest) {
		e.T.Errorf("az aks get-versions does not offer %s: %s", oldest, out)
	}
	probe.Check(e, 0)
	if now := e.Management("get", "node", "-o", "jsonpath={.items[*].status.nodeInfo.bootID}"); now != management {
		e.T.Error("the management machine was started again")
	}
	if now := systemUID(e); now != system {
		e.T.Errorf("kube-system was %s and is %s", system, now)
	}
	if now := e.Kubelets("running", "nodepool1"); !slices.Equal(now, nodes) || len(e.ReadyNodes("running")) != 1 {
		e.T.Errorf("nodes were %v and are %v, of which %v are ready", nodes, now, e.ReadyNodes("running"))
	}
	e.Run("az", "aks", "delete", "-g", "rg1", "-n", "running", "-y")
}

// patches takes a cluster to its minor's newest patch, the control plane under a probe.
func patches(e *harness.Env) {
	e.Build("release", "add", earlier, "--state-dir", e.State)
	e.Run("az", "aks", "create", "-g", "rg1", "-n", "patched", "--no-ssh-key", "-k", earlier, "-c", "1")
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "patched")
	checkVersions(e, "patched", earlier, 1)
	objects, probe := e.ObjectsOf("patched"), e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "patched"))
	started := time.Now()
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "patched", "-k", middle, "-y", "--control-plane-only")
	e.T.Logf("the control plane got the patch in %.1f s", time.Since(started).Seconds())
	probe.Check(e, harness.AimGap)
	oftenUpgraded(e)
	e.Run("az", "aks", "update", "-g", "rg1", "-n", "patched", "--auto-upgrade-channel", "patch")
	e.Eventually("the channel brings the patch to the pool", 10*time.Minute, func() error {
		run := e.AutoUpgrade("rg1", "patched")
		if strings.HasPrefix(run.LastResult, "Failed") {
			e.T.Fatalf("the run failed: %+v", run)
		}
		if run.LastTarget != middle || run.LastResult != "Succeeded" {
			return fmt.Errorf("%+v", run)
		}
		return nil
	})
	checkVersions(e, "patched", middle, 1)
	e.Lost("patched", objects)
	e.Run("az", "aks", "delete", "-g", "rg1", "-n", "patched", "-y")
	// Later clusters keep their node images for as long as nobody asks.
	e.Management("patch", "servicepolicy", "default", "--type=merge", "-p", `{"spec":{"autoUpgradeInterval":null}}`)
}

// oftenUpgraded gives every cluster its turn each twenty seconds.
func oftenUpgraded(e *harness.Env) {
	e.Management("patch", "servicepolicy", "default", "--type=merge", "-p", `{"spec":{"autoUpgradeInterval":"20s"}}`)
}

func versions(e *harness.Env) string { return e.Run("berth", "version", "list", "-l", "westus2") }

func systemUID(e *harness.Env) string {
	return e.Cluster("running", "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
}

func (j *journey) create(e *harness.Env) {
	e.Run("az", "aks", "create", "-g", "rg1", "-n", "hand", "--no-ssh-key", "-k", oldest, "-c", "1")
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "hand")
	e.Run("az", "aks", "nodepool", "add", "-g", "rg1", "--cluster-name", "hand", "-n", "work", "-c", "2", "--mode", "User", "-k", oldest)
	checkVersions(e, "hand", oldest, 3)
	j.load = e.StartLoad("hand", "work")
	j.asked = j.load.Check(e, 0)
}

// refusesSkip asks for two minors at once, for all of the cluster and for a pool
// ahead of its control plane: nothing is written.
func refusesSkip(e *harness.Env) {
	before := generations(e)
	out, err := e.Try("az", "aks", "upgrade", "-g", "rg1", "-n", "hand", "-k", newest, "-y")
	if err == nil || !strings.Contains(out, "OperationNotAllowed") || !strings.Contains(out, middle) {
		e.T.Errorf("a skipped minor: %v\n%s", err, out)
	}
	out, err = e.Try("berth", "nodepool", "upgrade", "-g", "rg1", "--cluster-name", "hand", "-n", "work", "-k", middle, "-y")
	if err == nil || !strings.Contains(out, "NodePoolMcVersionIncompatible") {
		e.T.Errorf("a pool ahead of its control plane: %v\n%s", err, out)
	}
	if now := generations(e); now != before {
		e.T.Errorf("refused upgrades wrote something: %s, before %s", now, before)
	}
	checkVersions(e, "hand", oldest, 3)
}

// generations change with every change of what a cluster and its pools are to be.
func generations(e *harness.Env) string {
	return e.Management("get", "managedclusters,agentpools", "-A", "-o", `jsonpath={range .items[*]}{.metadata.name}={.metadata.generation} {end}`)
}

// upgrade takes the control plane and every pool up a minor. Nobody who asks the
// service notices, the API server answers but for a moment, and every object stays.
func (j *journey) upgrade(e *harness.Env, version string) {
	objects := e.ObjectsOf("hand")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "hand"))
	started := time.Now()
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "hand", "-k", version, "-y")
	e.T.Logf("upgraded in %.1f s", time.Since(started).Seconds())
	probe.Check(e, harness.AimGap)
	checkVersions(e, "hand", version, 3)
	e.Lost("hand", objects)
	j.asked = j.load.Check(e, j.asked)
}

// rollsBack returns the pool alone to where it was, which its control plane allows.
func (j *journey) rollsBack(e *harness.Env) {
	if version := e.RollBack("rg1", "hand", "work"); version != middle {
		e.T.Fatalf("the pool had %s before", version)
	}
	e.Run("az", "aks", "nodepool", "wait", "-g", "rg1", "--cluster-name", "hand", "-n", "work", "--updated", "--interval", "2", "--timeout", "600")
	for _, node := range e.Kubelets("hand", "work") {
		if !strings.HasSuffix(node, " v"+middle) {
			e.T.Errorf("after the rollback: node %s", node)
		}
	}
	j.asked = j.load.Check(e, j.asked)
}

// upgradesItself leaves a cluster to its channel, which takes it to the newest minor
// over the one between.
func upgradesItself(e *harness.Env) {
	oftenUpgraded(e)
	e.Run("az", "aks", "create", "-g", "rg1", "-n", "auto", "--no-ssh-key", "-k", oldest, "-c", "1", "--auto-upgrade-channel", "rapid")
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "auto")
	objects, started := e.ObjectsOf("auto"), time.Now()
	var targets []string
	e.Eventually("the cluster reaches the newest version by itself", 15*time.Minute, func() error {
		run := e.AutoUpgrade("rg1", "auto")
		if strings.HasPrefix(run.LastResult, "Failed") {
			e.T.Fatalf("a run failed: %+v", run)
		}
		if run.LastTarget != "" && !slices.Contains(targets, run.LastTarget) {
			targets = append(targets, run.LastTarget)
			e.T.Logf("after %.1f s: %+v", time.Since(started).Seconds(), run)
		}
		if run.LastTarget != newest || run.LastResult != "Succeeded" {
			return fmt.Errorf("%+v", run)
		}
		return nil
	})
	e.T.Logf("upgraded itself in %.1f s, its turns included", time.Since(started).Seconds())
	if want := []string{middle, newest}; !slices.Equal(targets, want) {
		e.T.Errorf("it went to %v, want %v", targets, want)
	}
	checkVersions(e, "auto", newest, 1)
	e.Lost("auto", objects)
}

// skipsMinor takes a whole cluster under long-term support past a minor. Its control
// plane runs that one on the way, since its API servers are two and share an etcd.
func skipsMinor(e *harness.Env) {
	// az of Debian knows neither the tier nor the plan.
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "lts", "-k", oldest, "-c", "1", "--tier", "premium", "--k8s-support-plan", "AKSLongTermSupport")
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "lts")
	objects := e.ObjectsOf("lts")
	out, err := e.Try("az", "aks", "upgrade", "-g", "rg1", "-n", "lts", "-k", newest, "-y", "--control-plane-only")
	if err == nil || !strings.Contains(out, "OperationNotAllowed") {
		e.T.Errorf("the control plane alone past a minor: %v\n%s", err, out)
	}
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "lts"))
	started := time.Now()
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "lts", "-k", newest, "-y")
	e.T.Logf("upgraded past a minor in %.1f s", time.Since(started).Seconds())
	probe.Check(e, harness.AimGap)
	found, err := e.ManagedCluster("lts")
	if err != nil {
		e.T.Fatal(err)
	}
	if up := found.Status.Upgrade; up == nil || up.From != middle || up.To != newest {
		e.T.Errorf("the last step was %+v, want one from %s to %s", up, middle, newest)
	}
	checkVersions(e, "lts", newest, 1)
	e.Lost("lts", objects)
}

// checkVersions compares the API server and every kubelet with a version.
func checkVersions(e *harness.Env, cluster, version string, nodes int) {
	e.T.Helper()
	if out := e.Cluster(cluster, "version"); !strings.Contains(out, "Server Version: v"+version) {
		e.T.Errorf("the API server is %s, want %s", out, version)
	}
	kubelets := strings.Fields(e.Cluster(cluster, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"))
	if len(kubelets) != nodes || slices.ContainsFunc(kubelets, func(v string) bool { return v != "v"+version }) {
		e.T.Errorf("%d kubelets %v, want %d of %s", len(kubelets), kubelets, nodes, version)
	}
	if ready := e.ReadyNodes(cluster); len(ready) != nodes {
		e.T.Errorf("ready nodes %v, want %d", ready, nodes)
	}
}
