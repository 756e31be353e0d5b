package backup_test

import (
	"crypto/rand"
	"fmt"
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
	value := make([]byte, fillingSize)
	for n := range fillings {
		_, _ = rand.Read(value)
		bed.put(fmt.Sprintf("/fill/%d", n), string(value))
	}
	return bed
}

// BenchmarkSnapshot makes one of 100 MB, from a real etcd into a directory.
func BenchmarkSnapshot(b *testing.B) {
	bed := filled(b)
	bed.schedule.Full = time.Nanosecond
	b.SetBytes(fillings * fillingSize)
	for b.Loop() {
		bed.record()
		bed.eventually("a snapshot is stored", func() error {
			if took := bed.recorder.State().FullTook; took == 0 {
				return fmt.Errorf("none")
			}
			return nil
		})
		b.ReportMetric(bed.recorder.State().FullTook.Seconds(), "s/snapshot")
		bed.stopRecording()
	}
}

// BenchmarkWrites has small writes to such an etcd timed: quiet, and while a snapshot of it
// is made each second.
func BenchmarkWrites(b *testing.B) {
	bed := filled(b)
	for b.Loop() {
		quiet := bed.p99(b)
		bed.schedule.Full = time.Second
		bed.record()
		busy := bed.p99(b)
		bed.stopRecording()
		b.ReportMetric(float64(quiet.Microseconds())/1000, "ms-quiet")
		b.ReportMetric(float64(busy.Microseconds())/1000, "ms-busy")
		b.ReportMetric(100*float64(busy)/float64(quiet), "%-of-quiet")
	}
}

// p99 is that of 400 writes, 25 ms apart.
func (b *bed) p99(t testing.TB) time.Duration {
	t.Helper()
	var took []time.Duration
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for n := range 400 {
		<-ticker.C
		began := time.Now()
		b.put("/small", fmt.Sprint(n))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
