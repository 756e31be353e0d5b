package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/test/harness"
)

const (
	// chunk is how much of the filling one object holds; random bytes, which nothing compresses.
	chunk = 512 << 10
	// fillers make them at the same time.
	fillers = 4
	// fillAttempts are made for one of them.
	fillAttempts = 20
	// latencies are so many writes that are timed for a p99, latencyEvery apart.
	latencies    = 400
	latencyEvery = 25 * time.Millisecond
	// window is how long that takes. A cluster has a snapshot each 30 minutes, so that of 180
	// windows one has a snapshot in it; with one snapshot each apart, one is in each.
	window = latencies * latencyEvery
	apart  = window * 6 / 10
	// alternations are so many windows of each kind, in turn: two quiet ones differ by a third.
	alternations = 4
	metricsPort  = "18081" // the bench's network namespace is its own
)

// TestBenchSizes is the part of the bench that takes a cluster full of data.
func TestBenchSizes(t *testing.T) {
	e := harness.New(t)
	var results table
	defer results.print()
	e.Up()
	e.Run("berth", "group", "create", "-n", "bench", "-l", "westus2")
	measureSizes(e, &results)
}

// measureSizes fills a cluster up to each size in turn, and measures what a snapshot
// takes, what it costs those who write meanwhile, and what a recovery takes (aims at 100
// MB: a snapshot within 1 s, p99 of writes up by no more than 10 % where a snapshot is made
// meanwhile, /readyz within 10 s).
func measureSizes(e *harness.Env, results *table) {
	e.T.Helper()
	const name = "size"
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", name, "-c", "1")
	e.Run("berth", "cluster", "get-credentials", "-g", "bench", "-n", name)
	maps := e.Clientset(name).CoreV1().ConfigMaps("default")
	e.Start("kubectl", "--kubeconfig", e.State+"/admin.kubeconfig", "-n", "berth-system", "port-forward", "deploy/berth", metricsPort+":8081")
	filled := 0
	for _, size := range []int{10, 100, 1000} {
		if err := fill(maps, &filled, size<<20/chunk); err != nil {
			e.T.Logf("%d MB are more than the control plane takes here: %v", size, err)
			break
		}
		var quiet, one, all latency
		var took float64
		for range alternations {
			quiet.add(writes(e, maps))
			took = snapshots(e, maps, name, apart, &one)
			snapshots(e, maps, name, time.Second, &all)
		}
		results.add(fmt.Sprintf("snapshot of %d MB", size), "s", aimAt100(size, "≤ 1"), took)
		results.add(fmt.Sprintf("write p99 at %d MB, quiet", size), "ms", "", quiet.p99())
		results.add(fmt.Sprintf("write p99 at %d MB, with one snapshot in %s, in %% of quiet", size, window), "%", aimAt100(size, "≤ 110"), 100*one.p99()/quiet.p99())
		results.add(fmt.Sprintf("write p99 at %d MB, with a snapshot all the time, in %% of quiet", size), "%", "", 100*all.p99()/quiet.p99())
		recoverTo(e, results, fmt.Sprintf("%d MB", size), name, maps)
	}
	e.Run("berth", "cluster", "delete", "-g", "bench", "-n", name, "-y")
}

func aimAt100(size int, aim string) string {
	if size != 100 {
		return ""
	}
	return aim
}

// fill makes objects until there are so many.
func fill(maps typedv1.ConfigMapInterface, filled *int, want int) error {
	numbers := make(chan int)
	errs := make([]error, fillers)
	var filling sync.WaitGroup
	for i := range fillers {
		filling.Go(func() {
			for n := range numbers {
				if errs[i] == nil {
					errs[i] = fillOne(maps, n)
				}
			}
		})
	}
	for ; *filled < want; *filled++ {
		numbers <- *filled
	}
	close(numbers)
	filling.Wait()
	return errors.Join(errs...)
}

// fillOne makes one object. A disk that is busy is given some more attempts.
func fillOne(maps typedv1.ConfigMapInterface, n int) (err error) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("fill-%d", n)}, BinaryData: map[string][]byte{"data": make([]byte, chunk)}}
	_, _ = rand.Read(object.BinaryData["data"]) // it never fails
	for range fillAttempts {
		_, err = maps.Create(context.Background(), object, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
	}
	return err
}

// latency is what writes of windows of one kind took.
type latency struct{ took []time.Duration }

func (l *latency) add(took []time.Duration) { l.took = append(l.took, took...) }

// p99 is in milliseconds.
func (l *latency) p99() float64 {
	slices.Sort(l.took)
	return float64(l.took[len(l.took)*99/100].Microseconds()) / 1000
}

// writes makes small ones for a window, and returns what each took.
func writes(e *harness.Env, maps typedv1.ConfigMapInterface) (took []time.Duration) {
	e.T.Helper()
	ticker := time.NewTicker(latencyEvery)
	defer ticker.Stop()
	const name = "latency"
	_ = maps.Delete(context.Background(), name, metav1.DeleteOptions{}) // that of the measure before
	object, err := maps.Create(context.Background(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	for n := range latencies {
		if err != nil {
			e.T.Fatal(err)
		}
		<-ticker.C
		object.Data = map[string]string{"n": strconv.Itoa(n)}
		started := time.Now()
		object, err = maps.Update(context.Background(), object, metav1.UpdateOptions{})
		took = append(took, time.Since(started))
	}
	return took
}

// snapshots has a snapshot made each time that an interval has passed while somebody writes,
// or one after the other if they take longer, and returns how long the last took, in seconds.
func snapshots(e *harness.Env, maps typedv1.ConfigMapInterface, cluster string, each time.Duration, writing *latency) float64 {
	e.T.Helper()
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"backupInterval":"%s"}}`, each))
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"backupInterval":null}}`)
	began := time.Now()
	e.Eventually("a snapshot that began after the filling", recoveryPatience, func() error {
		at, err := metric("berth_backup_last_full_seconds", cluster)
		if err == nil && at < float64(began.Unix()) {
			err = errors.New("it is older")
		}
		return err
	})
	writing.add(writes(e, maps))
	took, err := metric("berth_backup_last_full_duration_seconds", cluster)
	if err != nil {
		e.T.Fatal(err)
	}
	return took
}

// metric reads one of Berth's, of a cluster.
func metric(name, cluster string) (float64, error) {
	response, err := http.Get("http://127.0.0.1:" + metricsPort + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + name + `\{cluster="[^"]*\.` + cluster + `"[^}]*\} (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no metric %s of %s", name, cluster)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
