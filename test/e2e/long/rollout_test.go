package long

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// TestRollout has patched images of CoreDNS reach two real clusters in waves (H1): one that
// is good reaches both, one that ends at once stops at the first and is taken back there, and
// one that the second cluster cannot run, for a reason of its own, goes on when it is resumed.
// Names are found in both clusters all the while.
func TestRollout(t *testing.T) {
	e := harness.New(t)
	e.Up()
	f := &fleet{names: []string{"one", "two"}}
	e.Journey(t, []harness.Step{
		{Name: "there are two clusters", Run: f.with(twoOfFleet)},
		{Name: "a patched component reaches one cluster, and then the other", Run: f.with(goodPatch)},
		{Name: "one that ends at once stops at the first, which goes back", Run: f.with(badPatch)},
		{Name: "one that a cluster cannot run goes on when it is resumed", Run: f.with(heldPatch)},
	})
}

// supportEngineer is one of the service's.
const supportEngineer = "support@berth.internal"

// fleet is all clusters of a service.
type fleet struct {
	*harness.Env
	names  []string
	expert func(args ...string) (string, error)
	// good is the image that the clusters have.
	good string
}

func (f *fleet) with(step func(*fleet)) func(*harness.Env) {
	return func(e *harness.Env) {
		f.Env, f.expert = e, e.Engineer(supportEngineer)
		step(f)
	}
}

// shownRollout is what an engineer sees.
type shownRollout struct {
	Name, State, Reason, Message string
	Wave                         int
	Clusters                     struct{ Reached, Ready, Failed, Waiting int }
}

// newest is the rollout at work, as an engineer sees it.
func (f *fleet) newest() (shownRollout, error) {
	out, err := f.expert("rollout", "list", "-o", "json")
	if err != nil {
		return shownRollout{}, fmt.Errorf("%w: %s", err, out)
	}
	var all []shownRollout
	f.Decode(out, &all)
	if len(all) == 0 {
		return shownRollout{}, fmt.Errorf("no rollouts: %s", out)
	}
	return all[0], nil
}

// until waits until the rollout at work is of this image and as is asked.
func (f *fleet) until(what, image string, met func(shownRollout) bool) shownRollout {
	f.T.Helper()
	var now shownRollout
	f.Eventually(what, 8*time.Minute, func() (err error) {
		if now, err = f.newest(); err != nil {
			return err
		}
		images := f.Management("get", "componentrollout", now.Name, "-o", "jsonpath={.spec.images.coredns}")
		if images != image || !met(now) {
			return fmt.Errorf("%+v of %s", now, images)
		}
		return nil
	})
	return now
}

// having are the clusters whose DNS has an image, and all of whose pods are ready.
func (f *fleet) having(image string) (names []string) {
	f.T.Helper()
	for _, name := range f.names {
		out := f.Cluster(name, "-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.spec.template.spec.containers[0].image} {.status.readyReplicas} {.status.updatedReplicas} {.status.replicas}")
		var has string
		var ready, updated, all int
		if _, err := fmt.Sscan(out, &has, &ready, &updated, &all); err == nil && has == image && ready == updated && updated == all {
			names = append(names, name)
		}
	}
	return names
}

// waves sets how large they are and for how long each is watched, and how long components
// may take.
func (f *fleet) waves(bake, readyWithin string) {
	f.Management("patch", "servicepolicy", "default", "--type=merge", "-p", fmt.Sprintf(
		`{"spec":{"componentRollout":{"readyWithin":%q,"waves":[{"clusters":1,"bake":%q},{"percent":100,"bake":%q}]}}}`, readyWithin, bake, bake))
}

// named finds a name in each cluster.
func (f *fleet) named() {
	f.T.Helper()
	for _, name := range f.names {
		f.Eventually("names are found in "+name, time.Minute, func() error {
			out, err := f.TryCluster(name, "exec", "asker", "--", "berth-demo", "lookup", "kubernetes.default.svc.cluster.local")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
}

// told waits until the owner of a cluster can read what was done.
func (f *fleet) told(cluster, reason string) {
	f.T.Helper()
	f.Eventually(reason+" is told of "+cluster, longEnough, func() error {
		entries := f.ActivityLog("rg1", "berth/rollout")
		for _, entry := range entries {
			if strings.HasSuffix(entry.Operation, "/events/"+reason+"/action") && entry.Resource == cluster {
				return nil
			}
		}
		return fmt.Errorf("%+v", entries)
	})
}

func twoOfFleet(f *fleet) {
	f.waves("1s", "10m")
	f.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	f.Run("berth", "cluster", "create", "-g", "rg1", "-n", f.names[0], "-c", "1", "--no-wait")
	f.Run("berth", "cluster", "create", "-g", "rg1", "-n", f.names[1], "-c", "1")
	f.Run("berth", "cluster", "wait", "-g", "rg1", "-n", f.names[0], "--created", "--timeout", "600")
	for _, name := range f.names {
		f.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", name)
		f.Cluster(name, "run", "asker", "--image="+f.DemoImage(), "--", "sleep")
		f.Cluster(name, "wait", "--for=condition=Ready", "pod/asker", "--timeout=180s")
	}
	f.Eventually("the components of all clusters are ready", longEnough, func() error {
		for _, name := range f.names {
			if err := f.componentsReady(name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *fleet) componentsReady(name string) error {
	cluster, err := f.ManagedCluster(name)
	if err != nil {
		return err
	}
	for _, condition := range cluster.Status.Conditions {
		if condition.Type == v1beta1.ConditionAddonsReady && condition.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("%s: %+v", name, cluster.Status.Conditions)
}

// goodPatch is watched in the first wave for as long as the test looks.
func goodPatch(f *fleet) {
	f.waves("24h", "10m")
	f.good = f.Patch("coredns", "good", func(c *v1.Config) { c.Env = append(c.Env, "PATCHED=1") })
	first := f.until("the first wave has it", f.good, func(r shownRollout) bool { return r.Reason == "WaveBaking" })
	if first.Wave != 1 || first.Clusters.Reached != 1 || first.Clusters.Ready != 1 || first.Clusters.Waiting != 1 {
		f.T.Errorf("%+v", first)
	}
	has := f.having(f.good)
	if len(has) != 1 {
		f.T.Fatalf("in the first wave %v have it", has)
	}
	f.told(has[0], "ComponentsPatched")
	f.waves("1s", "10m")
	f.until("all have it", f.good, func(r shownRollout) bool { return r.State == "Completed" })
	if has := f.having(f.good); len(has) != 2 {
		f.T.Errorf("at the end %v have it", has)
	}
	f.named()
}

func badPatch(f *fleet) {
	bad := f.Patch("coredns", "bad", func(c *v1.Config) { c.Entrypoint = append(c.Entrypoint, "-version") })
	f.until("the first wave takes it", bad, func(r shownRollout) bool { return r.Wave == 1 && r.Clusters.Reached == 1 })
	var taken string
	f.Eventually("its pods end at once", longEnough, func() error {
		for _, name := range f.names {
			out := f.Cluster(name, "-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", `jsonpath={range .items[*]}{.spec.containers[0].image} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
			for _, line := range strings.Split(out, "\n") {
				if strings.HasPrefix(line, bad+" ") && !strings.HasSuffix(line, " 0") {
					taken = name
					return nil
				}
			}
		}
		return fmt.Errorf("no pod of %s was started again", bad)
	})
	f.named()
	f.waves("1s", "5s")
	stopped := f.until("it stops", bad, func(r shownRollout) bool { return r.State == "Stopped" })
	if stopped.Wave != 1 || stopped.Clusters.Failed != 1 || stopped.Clusters.Waiting != 1 || !strings.Contains(stopped.Message, "coredns") {
		f.T.Errorf("%+v", stopped)
	}
	f.Eventually("all have the image of before", longEnough, func() error {
		if has := f.having(f.good); len(has) != 2 {
			return fmt.Errorf("only %v", has)
		}
		return nil
	})
	f.told(taken, "ComponentsReturned")
	f.named()
	f.waves("1s", "10m")
}

// heldPatch mends what was wrong, and meets a cluster where a webhook of its owner's lets no
// pod of kube-system be made.
func heldPatch(f *fleet) {
	f.waves("24h", "10m")
	mended := f.Patch("coredns", "mended", func(c *v1.Config) { c.Env = append(c.Env, "PATCHED=2") })
	f.until("the mend takes the place of what stopped, and the first wave has it", mended, func(r shownRollout) bool { return r.Reason == "WaveBaking" && r.Wave == 1 })
	has := f.having(mended)
	if len(has) != 1 {
		f.T.Fatalf("in the first wave %v have it", has)
	}
	next := f.names[0]
	if has[0] == next {
		next = f.names[1]
	}
	applyTo(f.Env, next, webhookManifest)
	f.waves("1s", "10m")
	f.until("the second wave takes it", mended, func(r shownRollout) bool { return r.Wave == 2 && r.Clusters.Reached == 2 })
	f.waves("1s", "5s")
	stopped := f.until("it stops", mended, func(r shownRollout) bool { return r.State == "Stopped" })
	if stopped.Wave != 2 || stopped.Clusters.Failed != 1 {
		f.T.Errorf("%+v", stopped)
	}
	f.named()
	if now := f.having(mended); len(now) != 1 || now[0] != has[0] {
		f.T.Errorf("when it has stopped %v have it, and %v did", now, has)
	}
	f.waves("1s", "10m")
	f.Cluster(next, "delete", "validatingwebhookconfiguration", "gate")
	if out, err := f.Try("berth", "rollout", "resume", "-n", stopped.Name); err == nil {
		f.T.Errorf("a customer resumes it: %s", out)
	}
	if out, err := f.expert("rollout", "resume", "-n", stopped.Name); err != nil {
		f.T.Fatalf("%v\n%s", err, out)
	}
	f.until("all have it", mended, func(r shownRollout) bool { return r.State == "Completed" })
	if has := f.having(mended); len(has) != 2 {
		f.T.Errorf("at the end %v have it", has)
	}
	f.named()
}
