package backup

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

// fleet is the recorders that run.
type fleet struct {
	// changes tells of managed clusters, and own of the management cluster.
	changes, own chan event.GenericEvent
	// turns is held by those managed clusters that have a snapshot on the local disk.
	turns *backup.Turns

	mu    sync.Mutex
	ended bool
	known map[types.NamespacedName]*voyage
	// bars are those that cannot be recorded: their keys cannot be read.
	bars map[types.NamespacedName]bool
}

// voyage is one recorder's run.
type voyage struct {
	recorder *backup.Recorder
	// of and plan are what it was started with.
	of     string
	plan   policy.BackupPlan
	cancel context.CancelFunc
	done   chan struct{}
	// hurried is since when somebody waits for what it stores; zero if nobody does.
	hurried time.Time
	// proof is the last one, which the cluster controller had made.
	proof *v1beta1.BackupProof
	// replaced is when its key took the place of a lost one; zero if it did not.
	replaced time.Time
	// alarms are those of its etcd that were told.
	alarms []string
}

// fullsAtOnce is of how many clusters a snapshot is on its way to the stores at a time.
const fullsAtOnce = 4

// pending is how many changes may wait to be looked at.
const pending = 64

func newFleet() *fleet {
	return &fleet{
		changes: make(chan event.GenericEvent, pending), own: make(chan event.GenericEvent, pending),
		known: map[types.NamespacedName]*voyage{}, bars: map[types.NamespacedName]bool{}, turns: backup.NewTurns(fullsAtOnce),
	}
}

// keep lets a recorder run for a cluster, made anew if what it is of, or the plan, has
// changed.
func (f *fleet) keep(key types.NamespacedName, of string, plan policy.BackupPlan, begin func() *backup.Recorder) {
	f.mu.Lock()
	old := f.known[key]
	delete(f.bars, key)
	f.mu.Unlock()
	if old != nil && old.of == of && reflect.DeepEqual(old.plan, plan) {
		return
	}
	f.stop(key)
	recorder := begin()
	ctx, cancel := context.WithCancel(context.Background())
	started := &voyage{recorder: recorder, of: of, plan: plan, cancel: cancel, done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		cancel()
		return
	}
	f.known[key] = started
	go func() {
		defer close(started.done)
		recorder.Run(ctx)
	}()
}

// stop ends a cluster's recorder, if there is one, when it has stored what it holds.
func (f *fleet) stop(key types.NamespacedName) {
	f.mu.Lock()
	old := f.known[key]
	delete(f.known, key)
	delete(f.bars, key)
	f.mu.Unlock()
	if old != nil {
		old.end()
	}
}

// barred notes that a cluster cannot be recorded, until it is or is not to be any more.
func (f *fleet) barred(key types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bars[key] = true
}

// patience is how long a recorder may take to store what it holds.
const patience = 15 * time.Second

// end has the recorder end. It does not wait for ever: a store may hang.
func (v *voyage) end() {
	v.cancel()
	select {
	case <-v.done:
	case <-time.After(patience):
	}
}

// state is how far a cluster's recorder has come; nothing if there is none.
func (f *fleet) state(key types.NamespacedName) backup.State {
	f.mu.Lock()
	v := f.known[key]
	f.mu.Unlock()
	if v == nil {
		return backup.State{}
	}
	return v.recorder.State()
}

// hurry has a cluster's recorder store what it holds at once, and go on doing so.
func (f *fleet) hurry(key types.NamespacedName, now time.Time) {
	f.mu.Lock()
	v := f.known[key]
	// A clock that was set back since begins the wait anew, which would last until it is there again.
	if v != nil && (v.hurried.IsZero() || v.hurried.After(now)) {
		v.hurried = now
	}
	f.mu.Unlock()
	if v != nil {
		v.recorder.Hurry()
	}
}

// final says whether a recorder has stored all that was written before it was hurried.
// Both times are of the same clock.
func (f *fleet) final(key types.NamespacedName) bool {
	f.mu.Lock()
	v := f.known[key]
	f.mu.Unlock()
	return v != nil && !v.hurried.IsZero() && v.recorder.State().RecoveryPoint.After(v.hurried)
}

// noted keeps what is known of a cluster's backups, for the metrics.
func (f *fleet) noted(key types.NamespacedName, proof *v1beta1.BackupProof, replaced time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.known[key]; v != nil {
		v.proof, v.replaced = proof, replaced
	}
}

// raised says which alarms a cluster's etcd has raised since it was last asked that.
func (f *fleet) raised(key types.NamespacedName, alarms []string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.known[key]
	if v == nil {
		return nil
	}
	raised := slices.DeleteFunc(slices.Clone(alarms), func(alarm string) bool { return slices.Contains(v.alarms, alarm) })
	v.alarms = alarms
	return raised
}

// changed has a cluster looked at, or the management cluster. A lost change shows at the next look.
func (f *fleet) changed(key types.NamespacedName) {
	meta := metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}
	to, changed := f.changes, event.GenericEvent{Object: &v1beta1.ManagedCluster{ObjectMeta: meta}}
	if key == managementKey {
		to, changed = f.own, event.GenericEvent{Object: &v1beta1.ManagementCluster{ObjectMeta: meta}}
	}
	select {
	case to <- changed:
	default:
	}
}

// untilEnd ends all recorders when the process is to end or leads no more.
func (f *fleet) untilEnd(ctx context.Context) error {
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	all := f.known
	f.known = map[types.NamespacedName]*voyage{}
	f.mu.Unlock()
	var ending sync.WaitGroup
	for _, v := range all {
		ending.Go(v.end)
	}
	ending.Wait()
	return nil
}

// The metrics of backups, by cluster.
var (
	pointMetric = prometheus.NewDesc("berth_backup_recovery_point_seconds",
		"Unix time up to which everything written is stored; 0 if nothing is.", []string{"namespace", "cluster"}, nil)
	fullMetric = prometheus.NewDesc("berth_backup_last_full_seconds",
		"Unix time of the newest full backup.", []string{"namespace", "cluster"}, nil)
	sizeMetric = prometheus.NewDesc("berth_backup_last_full_bytes",
		"Size of the newest full backup in a store.", []string{"namespace", "cluster"}, nil)
	tookMetric = prometheus.NewDesc("berth_backup_last_full_duration_seconds",
		"How long the newest full backup took until it was in all stores.", []string{"namespace", "cluster"}, nil)
	storeMetric = prometheus.NewDesc("berth_backup_store_up",
		"Whether the last write to a store went well.", []string{"namespace", "cluster", "store"}, nil)
	alarmMetric = prometheus.NewDesc("berth_etcd_alarm",
		"Whether etcd has raised an alarm: NOSPACE, CORRUPT.", []string{"namespace", "cluster", "alarm"}, nil)
	provenMetric = prometheus.NewDesc("berth_backup_proven",
		"Whether the last proof found that the backups give what etcd holds (X2).", []string{"namespace", "cluster"}, nil)
	replacedMetric = prometheus.NewDesc("berth_backup_key_replaced_seconds",
		"Unix time at which a lost key of backups was replaced: older ones do not open any more. Absent if none was.", []string{"namespace", "cluster"}, nil)
	proofMetric = prometheus.NewDesc("berth_backup_last_proof_seconds",
		"Unix time at which the backups were last proven.", []string{"namespace", "cluster"}, nil)
)

// Describe implements prometheus.Collector.
func (f *fleet) Describe(out chan<- *prometheus.Desc) {
	for _, metric := range []*prometheus.Desc{pointMetric, fullMetric, sizeMetric, tookMetric, storeMetric, alarmMetric, replacedMetric, provenMetric, proofMetric} {
		out <- metric
	}
}

// Collect implements prometheus.Collector.
func (f *fleet) Collect(out chan<- prometheus.Metric) {
	type known struct {
		state    backup.State
		proof    *v1beta1.BackupProof
		replaced time.Time
	}
	f.mu.Lock()
	all := make(map[types.NamespacedName]known, len(f.known))
	for key, v := range f.known {
		all[key] = known{v.recorder.State(), v.proof, v.replaced}
	}
	bars := slices.Collect(maps.Keys(f.bars))
	f.mu.Unlock()
	for _, key := range bars {
		if _, recorded := all[key]; !recorded { // what is not backed up at all is as late as can be
			out <- prometheus.MustNewConstMetric(pointMetric, prometheus.GaugeValue, 0, key.Namespace, key.Name)
		}
	}
	for key, k := range all {
		gauge := func(metric *prometheus.Desc, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(metric, prometheus.GaugeValue, value, append([]string{key.Namespace, key.Name}, labels...)...)
		}
		collectState(k.state, gauge)
		collectProof(k.proof, gauge)
		if !k.replaced.IsZero() {
			gauge(replacedMetric, float64(k.replaced.Unix()))
		}
	}
}

func collectState(state backup.State, gauge func(*prometheus.Desc, float64, ...string)) {
	point := 0.0 // a cluster that was never backed up is as late as can be
	if !state.RecoveryPoint.IsZero() {
		point = float64(state.RecoveryPoint.Unix())
	}
	gauge(pointMetric, point)
	if state.Full != nil {
		gauge(fullMetric, float64(state.Full.Time.Unix()))
		gauge(sizeMetric, float64(state.Full.Size))
	}
	if state.FullTook > 0 {
		gauge(tookMetric, state.FullTook.Seconds())
	}
	for _, alarm := range etcdAlarms {
		gauge(alarmMetric, oneIf(slices.Contains(state.Alarms, alarm)), alarm)
	}
	for _, store := range state.Stores {
		gauge(storeMetric, oneIf(store.Error == ""), store.URL)
	}
}

func collectProof(proof *v1beta1.BackupProof, gauge func(*prometheus.Desc, float64, ...string)) {
	if proof == nil || proof.Result == "" {
		return
	}
	gauge(provenMetric, oneIf(proof.Result == v1beta1.ProofEqual))
	if proof.LastEqual != nil {
		gauge(proofMetric, float64(proof.LastEqual.Unix()))
	}
}

func oneIf(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}
