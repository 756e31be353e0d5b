package policy

import (
	"math"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

var spaceNow = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func usage(id uint64, size, inUse int64) EtcdUsage {
	return EtcdUsage{ID: id, Size: size, InUse: inUse, Quota: 1000, Healthy: true}
}

func leading(m EtcdUsage) EtcdUsage { m.Leader = true; return m }
func down(m EtcdUsage) EtcdUsage    { m.Healthy, m.Leader = false, false; return m }

// cleaning is an attempt that began ten minutes ago and runs.
func cleaning(change func(*v1beta1.EtcdCleaning)) *v1beta1.EtcdCleaning {
	c := &v1beta1.EtcdCleaning{Reason: v1beta1.EtcdNoSpace, Attempt: 1, StartTime: metav1.NewTime(spaceNow.Add(-10 * time.Minute)), Noted: 70}
	if change != nil {
		change(c)
	}
	return c
}

// cleaned is one that ended some time ago.
func cleaned(ago time.Duration, attempt int32, result v1beta1.EtcdCleaningResult) *v1beta1.EtcdCleaning {
	return cleaning(func(c *v1beta1.EtcdCleaning) {
		end := metav1.NewTime(spaceNow.Add(-ago))
		c.EndTime, c.Attempt, c.Result = &end, attempt, result
	})
}

func TestNextSpaceStep(t *testing.T) {
	alone := []EtcdUsage{leading(usage(1, 1000, 300))}
	three := []EtcdUsage{leading(usage(1, 1000, 300)), usage(2, 1000, 300), usage(3, 1000, 300)}
	small := []EtcdUsage{leading(usage(1, 310, 300)), usage(2, 310, 300), usage(3, 310, 300)}
	full := []EtcdUsage{leading(usage(1, 1000, 950))}
	all := func(c *v1beta1.EtcdCleaning) { c.Defragmented = []string{"1", "2", "3"} }
	begin, end := SpaceBegin, SpaceEnd
	since := func(ago time.Duration) time.Time { return spaceNow.Add(-ago) }
	for name, c := range map[string]struct {
		w    EtcdSpace
		want SpaceStep
	}{
		"nothing is wrong":        {EtcdSpace{Members: small}, SpaceStep{Action: SpaceSettled}},
		"large and full of data":  {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 900, 880))}}, SpaceStep{Action: SpaceSettled}},
		"no member answers":       {EtcdSpace{NoSpace: true}, SpaceStep{Action: SpaceWait}},
		"no leader":               {EtcdSpace{NoSpace: true, Members: []EtcdUsage{usage(1, 1000, 300)}}, SpaceStep{Action: SpaceWait}},
		"full":                    {EtcdSpace{NoSpace: true, Members: alone}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"full while busy":         {EtcdSpace{NoSpace: true, Busy: true, Members: alone}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"full, and one is away":   {EtcdSpace{NoSpace: true, Members: []EtcdUsage{leading(usage(1, 1000, 300)), usage(2, 1000, 300), down(usage(3, 0, 0))}}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"fragmented":              {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 810, 300))}}, SpaceStep{Action: begin, Reason: v1beta1.EtcdFragmented}},
		"one of three fragmented": {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 310, 300)), usage(2, 310, 300), usage(3, 810, 300)}}, SpaceStep{Action: begin, Reason: v1beta1.EtcdFragmented}},
		"fragmented while busy":   {EtcdSpace{Busy: true, Members: []EtcdUsage{leading(usage(1, 810, 300))}}, SpaceStep{Action: SpaceSettled}},
		"fragmented, and one is away": {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 810, 300)), usage(2, 810, 300), down(usage(3, 0, 0))}},
			SpaceStep{Action: SpaceWait}},
		"fragmented again at once": {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 810, 300))}, Last: cleaned(time.Minute, 1, v1beta1.EtcdCleaned)}, SpaceStep{Action: SpaceSettled}},
		"fragmented, and it failed an hour ago": {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 810, 300))}, Last: cleaned(time.Hour, 1, v1beta1.EtcdCleaningFailed)},
			SpaceStep{Action: SpaceSettled}},
		"history goes first": {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.Revision = 60 })}, SpaceStep{Action: SpaceCompact}},
		"no history may go":  {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(nil)}, SpaceStep{Action: SpaceDefragment, Member: 2}},
		"history has gone": {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.Revision, c.Compacted = 60, true })},
			SpaceStep{Action: SpaceDefragment, Member: 2}},
		"a member that counts too much": {EtcdSpace{NoSpace: true, Members: []EtcdUsage{leading(usage(1, 1000, 990)), usage(2, 1000, 300)}, Last: cleaning(nil)},
			SpaceStep{Action: SpaceDefragment, Member: 2}},
		"the data alone fill it": {EtcdSpace{NoSpace: true, Members: full, Last: cleaning(nil)}, SpaceStep{Action: end, Result: v1beta1.EtcdFull}},
		"the member that has begun goes on": {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.Defragmenting = "3" })},
			SpaceStep{Action: SpaceDefragment, Member: 3}},
		"a full backup is read":                            {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(nil), Reading: since(cleaningYields - 1)}, SpaceStep{Action: SpaceLetRead}},
		"it is read for too long where nothing is written": {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(nil), Reading: since(cleaningYields)}, SpaceStep{Action: SpaceGiveUp}},
		"what is in use is not known while it is read":     {EtcdSpace{NoSpace: true, Members: full, Last: cleaning(nil), Reading: since(0)}, SpaceStep{Action: SpaceLetRead}},
		"and for as long as it takes else":                 {EtcdSpace{Members: three, Last: cleaning(nil), Reading: since(20 * time.Minute)}, SpaceStep{Action: SpaceLetRead}},
		"nothing is given back before it is stored":        {EtcdSpace{NoSpace: true, Members: full, Last: cleaning(nil), Reading: since(20 * time.Minute), Revision: 60, Marked: 50, BackedUp: 10}, SpaceStep{Action: SpaceLetRead}},
		"an upgrade saves what etcd holds":                 {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(nil), Reading: since(time.Hour), Saving: true}, SpaceStep{Action: SpaceLetRead}},
		"history goes when it has been read": {EtcdSpace{NoSpace: true, Members: three, Reading: since(0), Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.Revision = 60 })},
			SpaceStep{Action: SpaceLetRead}},
		"all are done when the next is read": {EtcdSpace{NoSpace: true, Members: small, Last: cleaning(all), Reading: since(0)}, SpaceStep{Action: SpaceDisarm}},
		"full while it is read":              {EtcdSpace{NoSpace: true, Members: alone, Reading: since(0)}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"fragmented while it is read":        {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 810, 300))}, Reading: since(time.Hour)}, SpaceStep{Action: SpaceSettled}},
		"fragmented while it is saved":       {EtcdSpace{Members: []EtcdUsage{leading(usage(1, 810, 300))}, Saving: true}, SpaceStep{Action: SpaceSettled}},
		"full, and members differ":           {EtcdSpace{NoSpace: true, Corrupt: true, Members: three}, SpaceStep{Action: SpaceWait}},
		"members turn out to differ":         {EtcdSpace{NoSpace: true, Corrupt: true, Members: three, Last: cleaning(nil)}, SpaceStep{Action: SpaceWait}},
		"the leader is last": {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.Defragmented = []string{"2", "3"} })},
			SpaceStep{Action: SpaceDefragment, Member: 1}},
		"one that is away is passed over": {EtcdSpace{NoSpace: true, Members: []EtcdUsage{leading(usage(1, 310, 300)), down(usage(2, 0, 0)), usage(3, 310, 300)},
			Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.Defragmented = []string{"1", "3"} })}, SpaceStep{Action: SpaceDisarm}},
		"all have room":           {EtcdSpace{NoSpace: true, Members: small, Last: cleaning(all)}, SpaceStep{Action: SpaceDisarm}},
		"one has none":            {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(all)}, SpaceStep{Action: end, Result: v1beta1.EtcdFull}},
		"the alarm is taken back": {EtcdSpace{Members: small, Last: cleaning(all)}, SpaceStep{Action: end, Result: v1beta1.EtcdCleaned}},
		"it takes too long": {EtcdSpace{NoSpace: true, Members: three, Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.StartTime = metav1.NewTime(spaceNow.Add(-2 * time.Hour)) })},
			SpaceStep{Action: end, Result: v1beta1.EtcdCleaningFailed}},
		"its members are away for too long": {EtcdSpace{NoSpace: true, Last: cleaning(func(c *v1beta1.EtcdCleaning) { c.StartTime = metav1.NewTime(spaceNow.Add(-2 * time.Hour)) })},
			SpaceStep{Action: end, Result: v1beta1.EtcdCleaningFailed}},
		"full again a day later":     {EtcdSpace{NoSpace: true, Members: alone, Last: cleaned(24*time.Hour, 3, v1beta1.EtcdCleaned)}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"full again at once":         {EtcdSpace{NoSpace: true, Members: alone, Last: cleaned(time.Minute, 1, v1beta1.EtcdCleaned)}, SpaceStep{Action: SpaceSettled}},
		"the second pause is longer": {EtcdSpace{NoSpace: true, Revision: 70, Members: alone, Last: cleaned(9*time.Minute, 2, v1beta1.EtcdFull)}, SpaceStep{Action: SpaceSettled}},
		"it ends":                    {EtcdSpace{NoSpace: true, Revision: 70, Members: alone, Last: cleaned(10*time.Minute, 2, v1beta1.EtcdFull)}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"pauses are an hour at most": {EtcdSpace{NoSpace: true, Revision: 70, Members: alone, Last: cleaned(time.Hour, 1_000_000, v1beta1.EtcdFull)}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"and not much less":          {EtcdSpace{NoSpace: true, Revision: 70, Members: alone, Last: cleaned(59*time.Minute, 1_000_000, v1beta1.EtcdFull)}, SpaceStep{Action: SpaceSettled}},
		"something was deleted":      {EtcdSpace{NoSpace: true, Revision: 71, Members: alone, Last: cleaned(5*time.Minute, 7, v1beta1.EtcdFull)}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"deleted a moment ago":       {EtcdSpace{NoSpace: true, Revision: 71, Members: alone, Last: cleaned(time.Minute, 7, v1beta1.EtcdFull)}, SpaceStep{Action: SpaceSettled}},
		"the backups have caught up": {EtcdSpace{NoSpace: true, Revision: 70, Marked: 60, BackedUp: 60, Members: alone, Last: cleaned(time.Minute, 7, v1beta1.EtcdFull)},
			SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"a moment ago": {EtcdSpace{NoSpace: true, Revision: 70, Marked: 60, BackedUp: 60, Members: alone, Last: cleaned(time.Second, 7, v1beta1.EtcdFull)},
			SpaceStep{Action: SpaceSettled}},
		"a clock that was set back": {EtcdSpace{NoSpace: true, Members: alone, Last: cleaned(-24*time.Hour, 2, v1beta1.EtcdFull)}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
		"full after a defragmentation": {EtcdSpace{NoSpace: true, Members: alone, Last: func() *v1beta1.EtcdCleaning {
			last := cleaned(time.Minute, 1, v1beta1.EtcdCleaned)
			last.Reason = v1beta1.EtcdFragmented
			return last
		}()}, SpaceStep{Action: begin, Reason: v1beta1.EtcdNoSpace}},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.Now = spaceNow
			if got := NextSpaceStep(c.w); got != c.want {
				t.Errorf("it does %+v, want %+v", got, c.want)
			}
		})
	}
}

// History goes as far as the backups have it and the API server has no more use for it.
func TestBeginCleaning(t *testing.T) {
	for name, c := range map[string]struct {
		w        EtcdSpace
		reason   v1beta1.EtcdCleaningReason
		revision int64
		attempt  int32
	}{
		"the API server's mark":           {EtcdSpace{Revision: 100, Marked: 80, BackedUp: 90}, v1beta1.EtcdNoSpace, 80, 1},
		"the backups are behind":          {EtcdSpace{Revision: 100, Marked: 80, BackedUp: 60}, v1beta1.EtcdNoSpace, 60, 1},
		"there is no backup":              {EtcdSpace{Revision: 100, Marked: 80}, v1beta1.EtcdNoSpace, 0, 1},
		"none are made":                   {EtcdSpace{Revision: 100, Marked: 80, BackedUp: math.MaxInt64}, v1beta1.EtcdNoSpace, 80, 1},
		"no mark":                         {EtcdSpace{Revision: 100, BackedUp: 90}, v1beta1.EtcdNoSpace, 0, 1},
		"what was noted is old enough":    {EtcdSpace{Revision: 100, Marked: 60, BackedUp: 90, Last: cleaned(6*time.Minute, 2, v1beta1.EtcdFull)}, v1beta1.EtcdNoSpace, 70, 3},
		"what was noted is too new":       {EtcdSpace{Revision: 100, Marked: 60, BackedUp: 90, Last: cleaned(4*time.Minute, 2, v1beta1.EtcdFull)}, v1beta1.EtcdNoSpace, 60, 3},
		"etcd has less than was noted":    {EtcdSpace{Revision: 50, Marked: 40, BackedUp: 90, Last: cleaned(24*time.Hour, 2, v1beta1.EtcdCleaned)}, v1beta1.EtcdNoSpace, 50, 1},
		"defragmented before it is full":  {EtcdSpace{Revision: 100, Marked: 80, BackedUp: 90, Last: cleaned(24*time.Hour, 2, v1beta1.EtcdCleaned)}, v1beta1.EtcdFragmented, 0, 1},
		"full again within a short while": {EtcdSpace{Revision: 100, Marked: 60, BackedUp: 90, Last: cleaned(30*time.Minute, 2, v1beta1.EtcdCleaned)}, v1beta1.EtcdNoSpace, 70, 3},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.Now, c.w.Members = spaceNow, []EtcdUsage{leading(usage(1, 900, 300)), usage(2, 950, 300)}
			got := BeginCleaning(c.w, c.reason)
			if got.Revision != c.revision || got.Attempt != c.attempt || got.Noted != c.w.Revision || got.Before != 950 || !got.StartTime.Time.Equal(spaceNow) || !got.UnderWay() {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestBackedUpTo(t *testing.T) {
	at, stores := metav1.NewTime(spaceNow), BackupPlan{Stores: []string{"file:///a"}}
	recorded := &v1beta1.BackupStatus{Revision: 10, RecoveryPoint: &at, RecoveryRevision: 20}
	condition := func(reason string) []metav1.Condition {
		return []metav1.Condition{{Type: v1beta1.ConditionBackedUp, Reason: reason}}
	}
	for name, c := range map[string]struct {
		status v1beta1.ManagedClusterStatus
		plan   BackupPlan
		want   int64
	}{
		"none are made":          {v1beta1.ManagedClusterStatus{Backup: recorded}, BackupPlan{}, math.MaxInt64},
		"none is there":          {v1beta1.ManagedClusterStatus{}, stores, 0},
		"none was reached":       {v1beta1.ManagedClusterStatus{Backup: &v1beta1.BackupStatus{RecoveryRevision: 20}}, stores, 0},
		"reached":                {v1beta1.ManagedClusterStatus{Backup: recorded, Conditions: condition("Late")}, stores, 20},
		"of another history":     {v1beta1.ManagedClusterStatus{Backup: recorded, Conditions: condition(ReasonEtcdRolledBack)}, stores, 0},
		"nobody can open them":   {v1beta1.ManagedClusterStatus{Backup: recorded, Conditions: condition(ReasonBackupKeyLost)}, stores, 0},
		"no word of them as yet": {v1beta1.ManagedClusterStatus{Backup: recorded}, stores, 20},
	} {
		if got := BackedUpTo(c.status, c.plan); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestEtcdHasSpace(t *testing.T) {
	for name, c := range map[string]struct {
		w      EtcdSpace
		ok     bool
		reason string
	}{
		"no alarm":               {EtcdSpace{}, true, "HasSpace"},
		"no alarm any more":      {EtcdSpace{Last: cleaned(time.Minute, 1, v1beta1.EtcdFull)}, true, "HasSpace"},
		"just raised":            {EtcdSpace{NoSpace: true}, false, "NoSpace"},
		"room is being made":     {EtcdSpace{NoSpace: true, Last: cleaning(nil)}, false, "NoSpace"},
		"there is none to make":  {EtcdSpace{NoSpace: true, Last: cleaned(time.Minute, 1, v1beta1.EtcdFull)}, false, "Full"},
		"backups are behind":     {EtcdSpace{NoSpace: true, Revision: 9, Marked: 8, BackedUp: 7, Last: cleaned(time.Minute, 1, v1beta1.EtcdFull)}, false, "BackupsBehind"},
		"it could not be made":   {EtcdSpace{NoSpace: true, Last: cleaned(time.Minute, 1, v1beta1.EtcdCleaningFailed)}, false, "NoSpace"},
		"raised again too early": {EtcdSpace{NoSpace: true, Last: cleaned(time.Minute, 1, v1beta1.EtcdCleaned)}, false, "NoSpace"},
	} {
		if ok, reason, message := EtcdHasSpace(c.w); ok != c.ok || reason != c.reason || (message == "") != ok {
			t.Errorf("%s: %v %s %q", name, ok, reason, message)
		}
	}
}

// An etcd that stays full is tried ever more seldom, and never defragmented for nothing.
func TestAFullEtcdIsNotTriedInALoop(t *testing.T) {
	w := EtcdSpace{Now: spaceNow, NoSpace: true, Members: []EtcdUsage{leading(usage(1, 1000, 950))}}
	began := 0
	for range 24 * 60 { // a day, a minute at a time, of an etcd that stays full
		switch step := NextSpaceStep(w); step.Action {
		case SpaceBegin:
			w.Last = BeginCleaning(w, step.Reason)
			began++
		case SpaceEnd:
			at := metav1.NewTime(w.Now)
			w.Last.EndTime, w.Last.Result = &at, step.Result
		case SpaceDefragment:
			t.Fatal("it is defragmented though that gives nothing back")
		}
		w.Now = w.Now.Add(time.Minute)
	}
	if began < 20 || began > 30 {
		t.Errorf("%d attempts in a day", began)
	}
}
