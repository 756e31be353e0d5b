package backup_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"
)

// BenchmarkSnapshot makes one of 100 MB that nothing compresses, from a real etcd into a directory.
func BenchmarkSnapshot(b *testing.B) {
	const objects, size = 200, 512 << 10
	bed := newBed(b, 1)
	value := make([]byte, size)
	for n := range objects {
		_, _ = rand.Read(value)
		bed.put(fmt.Sprintf("/fill/%d", n), string(value))
	}
	bed.schedule.Full = time.Nanosecond
	b.SetBytes(objects * size)
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
