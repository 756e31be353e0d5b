package backup_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// fillings and fillingSize make 100 MB that nothing compresses.
const (
	fillings    = 200
	fillingSize = 512 << 10
)

func filled(b *testing.B) *bed {
	b.Helper()
	bed := newBed(b, 1)
	bed.schedule.Delta = 30 * time.Second
	value := make([]byte, fillingSize)
	for n := range fillings {
		_, _ = rand.Read(value)
		bed.put(fmt.Sprintf("/fill/%d", n), string(value))
	}
	return bed
}

// snapshot has a recorder make one, into a store that had nothing, and returns how long it took.
func (b *bed) snapshot(t testing.TB) time.Duration {
	t.Helper()
	b.stores = []string{t.TempDir()}
	b.record()
	defer b.stopRecording()
	b.eventually("a snapshot is stored", func() error {
		if b.recorder.State().FullTook == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	return b.recorder.State().FullTook
}

// BenchmarkSnapshot makes one of 100 MB, from a real etcd into a directory.
func BenchmarkSnapshot(b *testing.B) {
	bed := filled(b)
	b.SetBytes(fillings * fillingSize)
	took := time.Duration(0)
	for b.Loop() {
		took += bed.snapshot(b)
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/snapshot")
}

// BenchmarkWrites has small writes to such an etcd timed: quiet, with one snapshot of it in
// ten seconds (there is one in 30 minutes), and with one after the other. Run it with
// -benchtime 5x: windows of each kind alternate, since machines differ from minute to minute.
func BenchmarkWrites(b *testing.B) {
	bed := filled(b)
	kinds := []struct {
		name      string
		snapshots int
	}{{"quiet", 0}, {"one", 1}, {"all", 1 << 10}}
	took := make([][]time.Duration, len(kinds))
	for b.Loop() {
		for i, kind := range kinds {
			took[i] = append(took[i], bed.writes(b, kind.snapshots)...)
		}
	}
	quiet := p99(took[0])
	for i, kind := range kinds {
		b.ReportMetric(float64(p99(took[i]).Microseconds())/1000, "ms-"+kind.name)
		b.ReportMetric(100*float64(p99(took[i]))/float64(quiet), "%-"+kind.name)
	}
}

// BenchmarkRecover puts 100 MB back, and 20 deltas of a megabyte each. What etcd takes to come
// up on them is not in it.
func BenchmarkRecover(b *testing.B) {
	bed := filled(b)
	bed.record()
	bed.eventually("a snapshot is stored", func() error {
		if bed.recorder.State().FullTook == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	bed.recorder.Hurry()
	value := make([]byte, fillingSize)
	for n := range 40 {
		_, _ = rand.Read(value)
		last := bed.put(fmt.Sprintf("/fill/%d", n), string(value))
		if n%2 == 1 {
			bed.stored(last)
		}
	}
	bed.stopRecording()
	bed.stopEtcd()
	n := 0
	for b.Loop() {
		b.StopTimer()
		if err := os.RemoveAll(bed.data); err != nil {
			b.Fatal(err)
		}
		n++
		b.StartTimer()
		if said := bed.recover(fmt.Sprint(n)); said.Keys != fillings {
			b.Fatalf("report %+v", said)
		}
	}
}

// writes makes 400 of them, 25 ms apart, during so many snapshots at most, and returns how
// long each took.
func (b *bed) writes(t testing.TB, snapshots int) []time.Duration {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for range snapshots {
			select {
			case <-stop:
				return
			default:
				b.snapshot(t)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	var took []time.Duration
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for n := range 400 {
		<-ticker.C
		began := time.Now()
		b.put("/small", fmt.Sprint(n))
		took = append(took, time.Since(began))
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}
