package backup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// An etcd that is full says so by an alarm, which is seen, and whose end is.
func TestAlarmOfAFullEtcd(t *testing.T) {
	b := newBed(t, 1)
	b.stopEtcd()
	b.flags = []string{"--quota-backend-bytes=1000000"}
	b.startEtcd()
	b.record()
	sees := func(want ...string) {
		t.Helper()
		b.eventually(fmt.Sprintf("alarms %v", want), func() error {
			if got := b.recorder.State().Alarms; !slices.Equal(got, want) {
				return fmt.Errorf("it sees %v", got)
			}
			return nil
		})
	}
	for range 100 {
		if _, err := b.etcd.Put(t.Context(), "/a", strings.Repeat("x", 100_000)); err != nil {
			break
		}
	}
	sees("NOSPACE")
	if _, err := b.etcd.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	sees()
}
