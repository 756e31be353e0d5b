package policy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// What is done about an etcd that becomes full (A3), and when.
const (
	// etcdRoom is the share of the quota below which etcd has to be before it takes writes
	// again: above it the next moment would stop them.
	etcdRoom = 0.9
	// etcdCrowded is the share of the quota, and etcdSparse that of the database which holds
	// something, at which it is defragmented before it is full.
	etcdCrowded = 0.8
	etcdSparse  = 0.5
	// etcdHistory is how long the API server keeps history (--etcd-compaction-interval).
	etcdHistory = 5 * time.Minute
	// Attempts that follow on each other wait twice as long each, between these.
	cleaningPause, cleaningPauseMax = etcdHistory, time.Hour
	// cleaningBrief is the pause where more history may go than in the last attempt.
	cleaningBrief = time.Minute
	// cleaningCalm is how long etcd stays well before the next attempt counts as the first,
	// and how long it is not defragmented again before it is full; cleaningRest that where
	// the last attempt failed.
	cleaningCalm, cleaningRest = time.Hour, 24 * time.Hour
	// cleaningTime bounds one attempt, as where a member stays away.
	cleaningTime = time.Hour
	// cleaningYields is how long a full backup may have been read that is waited for while
	// etcd takes no writes: it reads some 50 MB in a second, and a smaller database sooner.
	cleaningYields = 30 * time.Second
)

// EtcdUsage is how much one member of etcd stores.
type EtcdUsage struct {
	ID uint64
	// Size is how much its database takes, InUse how much of that holds something, and Quota
	// how much it may take, in bytes.
	Size, InUse, Quota int64
	// Healthy: it answers and knows the leader. Leader: it leads.
	Healthy, Leader bool
}

// EtcdSpace is what a step of making room in etcd is decided on.
type EtcdSpace struct {
	Now     time.Time
	Members []EtcdUsage
	// NoSpace: the alarm is raised.
	NoSpace bool
	// Revision is what etcd has reached, Marked what the API server has noted to compact to
	// in its next turn, and BackedUp up to what everything is in the backups.
	Revision, Marked, BackedUp int64
	// Busy: something else goes on in etcd, so that nothing is done before it is needed.
	Busy bool
	// Reading is since when a full backup is being read from etcd; zero if none is. Saving: an
	// upgrade has etcd's content saved, which ends by itself in its time.
	Reading time.Time
	Saving  bool
	// Corrupt: members hold different data, as far as etcd knows. All of it is read to compare
	// them, and nothing can be written.
	Corrupt bool
	// Last is the last attempt; nil if there was none.
	Last *v1beta1.EtcdCleaning
}

// SpaceAction is one step of making room.
type SpaceAction string

// The steps. Each is a call, or a write, that changes what the next decision sees.
const (
	// SpaceSettled: etcd has room, or the next attempt is not due.
	SpaceSettled SpaceAction = "Settled"
	// SpaceWait: members have to come up first, or to agree.
	SpaceWait SpaceAction = "Wait"
	// SpaceLetRead: what reads a snapshot of etcd has to come to its end first. SpaceGiveUp ends
	// full backups that do not.
	SpaceLetRead SpaceAction = "LetRead"
	SpaceGiveUp  SpaceAction = "GiveUp"
	// SpaceBegin writes an attempt down, SpaceEnd how it ended.
	SpaceBegin SpaceAction = "Begin"
	SpaceEnd   SpaceAction = "End"
	// SpaceCompact lets history go, and SpaceDefragment gives back what holds nothing.
	SpaceCompact    SpaceAction = "Compact"
	SpaceDefragment SpaceAction = "Defragment"
	// SpaceDisarm takes the alarm back.
	SpaceDisarm SpaceAction = "Disarm"
)

// SpaceStep is a step, with the member of SpaceDefragment, the reason of SpaceBegin and the
// result of SpaceEnd.
type SpaceStep struct {
	Action SpaceAction
	Member uint64
	Reason v1beta1.EtcdCleaningReason
	Result v1beta1.EtcdCleaningResult
}

// spaceRule is one row: the step, if it holds.
type spaceRule struct {
	step  SpaceStep
	holds func(EtcdSpace) bool
}

// spaceRules make room in an etcd; the first that holds counts. One member is defragmented at
// a time, the leader last: it answers nothing meanwhile, and would not before whoever reads a
// snapshot of it has ended. Until then what history gives back does not count as free either
// (bbolt). An etcd whose data alone fill it is not defragmented at all, since that gives nothing
// back.
var spaceRules = []spaceRule{
	{SpaceStep{Action: SpaceEnd, Result: v1beta1.EtcdCleaningFailed}, func(w EtcdSpace) bool {
		return w.running() && w.Now.Sub(w.Last.StartTime.Time) > cleaningTime
	}},
	{SpaceStep{Action: SpaceWait}, func(w EtcdSpace) bool { return !w.answers() || w.Corrupt }},
	{SpaceStep{Action: SpaceLetRead}, func(w EtcdSpace) bool { return w.running() && w.next() != 0 && w.isRead() }},
	{SpaceStep{Action: SpaceGiveUp}, func(w EtcdSpace) bool { return w.running() && w.next() != 0 && !w.Reading.IsZero() }},
	{SpaceStep{Action: SpaceCompact}, func(w EtcdSpace) bool { return w.running() && w.Last.Revision > 0 && !w.Last.Compacted }},
	{SpaceStep{Action: SpaceEnd, Result: v1beta1.EtcdFull}, func(w EtcdSpace) bool { return w.running() && w.NoSpace && !w.worthwhile() }},
	{SpaceStep{Action: SpaceDefragment}, func(w EtcdSpace) bool { return w.running() && w.next() != 0 }},
	{SpaceStep{Action: SpaceDisarm}, func(w EtcdSpace) bool { return w.running() && w.NoSpace && w.roomy() }},
	{SpaceStep{Action: SpaceEnd, Result: v1beta1.EtcdFull}, func(w EtcdSpace) bool { return w.running() && w.NoSpace }},
	{SpaceStep{Action: SpaceEnd, Result: v1beta1.EtcdCleaned}, EtcdSpace.running},
	{SpaceStep{Action: SpaceBegin, Reason: v1beta1.EtcdNoSpace}, func(w EtcdSpace) bool { return w.NoSpace && w.due() }},
	{SpaceStep{Action: SpaceBegin, Reason: v1beta1.EtcdFragmented}, func(w EtcdSpace) bool {
		return !w.NoSpace && !w.Busy && !w.isRead() && w.fragmented() && w.rested()
	}},
	{SpaceStep{Action: SpaceSettled}, func(EtcdSpace) bool { return true }},
}

// NextSpaceStep is what to do next.
func NextSpaceStep(w EtcdSpace) SpaceStep {
	for _, rule := range spaceRules {
		if !rule.holds(w) {
			continue
		}
		step := rule.step
		if step.Action == SpaceDefragment {
			step.Member = w.next()
		}
		return step
	}
	return SpaceStep{Action: SpaceSettled}
}

// BeginCleaning is the attempt that SpaceBegin writes down.
func BeginCleaning(w EtcdSpace, reason v1beta1.EtcdCleaningReason) *v1beta1.EtcdCleaning {
	next := &v1beta1.EtcdCleaning{Reason: reason, Attempt: 1, Noted: w.Revision, Before: w.Largest()}
	next.StartTime.Time = w.Now
	if reason == v1beta1.EtcdNoSpace {
		next.Revision = w.compactable()
		if w.followsOn() {
			next.Attempt = w.Last.Attempt + 1
		}
	}
	return next
}

// compactable is up to which revision history may go: the API server has no more use for it,
// and the backups have it. It puts its mark with a write, which a full etcd refuses, so that
// nobody compacts one but Berth.
func (w EtcdSpace) compactable() int64 {
	allowed := w.Marked
	if w.Last != nil && w.since(etcdHistory) {
		allowed = max(allowed, w.Last.Noted)
	}
	return min(allowed, w.BackedUp, w.Revision)
}

// Largest is how much the largest database takes.
func (w EtcdSpace) Largest() int64 {
	largest := int64(0)
	for _, m := range w.Members {
		largest = max(largest, m.Size)
	}
	return largest
}

func (w EtcdSpace) running() bool { return w.Last.UnderWay() }

// answers: enough members are there for the next step. One that is away is not waited for
// where etcd takes no writes.
func (w EtcdSpace) answers() bool {
	healthy, leads := 0, false
	for _, m := range w.Members {
		leads = leads || m.Leader
		if m.Healthy {
			healthy++
		}
	}
	return leads && (healthy == len(w.Members) || w.NoSpace && healthy > len(w.Members)/2)
}

// isRead: somebody reads a snapshot of etcd who is waited for. A full backup is given up where
// etcd takes no writes and it has had its time, unless nothing can be given back before it is
// stored; what an upgrade saves cannot be.
func (w EtcdSpace) isRead() bool {
	needed := w.backupsBehind() && !w.worthwhile()
	overdue := w.NoSpace && !needed && w.Now.Sub(w.Reading) >= cleaningYields
	return w.Saving || !w.Reading.IsZero() && !overdue
}

// roomy: the databases of all members that answer leave room to write.
func (w EtcdSpace) roomy() bool {
	return !slices.ContainsFunc(w.Members, func(m EtcdUsage) bool { return m.Healthy && float64(m.Size) >= etcdRoom*float64(m.Quota) })
}

// worthwhile: a database without what holds nothing leaves room. All hold the same; a member
// that has not committed lately counts too much.
func (w EtcdSpace) worthwhile() bool {
	return slices.ContainsFunc(w.Members, func(m EtcdUsage) bool { return m.Healthy && float64(m.InUse) < etcdRoom*float64(m.Quota) })
}

func (w EtcdSpace) fragmented() bool {
	return slices.ContainsFunc(w.Members, func(m EtcdUsage) bool {
		return float64(m.Size) > etcdCrowded*float64(m.Quota) && float64(m.InUse) < etcdSparse*float64(m.Size)
	})
}

// next is the member to be defragmented: the one that has begun, else a follower, and the
// leader last; zero if all that answer have been.
func (w EtcdSpace) next() uint64 {
	var followers, leader uint64
	for _, m := range w.Members {
		switch {
		case !m.Healthy || slices.Contains(w.Last.Defragmented, EtcdID(m.ID)):
		case EtcdID(m.ID) == w.Last.Defragmenting:
			return m.ID
		case m.Leader:
			leader = m.ID
		case followers == 0:
			followers = m.ID
		}
	}
	if followers != 0 {
		return followers
	}
	return leader
}

// EtcdID is the ID of a member as statuses have it.
func EtcdID(id uint64) string { return strconv.FormatUint(id, 16) }

// since says whether the last attempt ended so long ago. A clock that was set back since
// holds nothing up.
func (w EtcdSpace) since(pause time.Duration) bool {
	return w.Last == nil || w.Last.EndTime == nil || w.Now.Before(w.Last.EndTime.Time) || w.Now.Sub(w.Last.EndTime.Time) >= pause
}

// rested: the last attempt was long enough ago for one that nothing needs yet.
func (w EtcdSpace) rested() bool {
	if w.Last != nil && w.Last.Result == v1beta1.EtcdCleaningFailed {
		return w.since(cleaningRest)
	}
	return w.since(cleaningCalm)
}

// followsOn: the last attempt was at the same alarm, or etcd was well for a short time only.
func (w EtcdSpace) followsOn() bool {
	return w.Last != nil && w.Last.Reason == v1beta1.EtcdNoSpace && (w.Last.Result != v1beta1.EtcdCleaned || !w.since(cleaningCalm))
}

// due: the next attempt may begin. Where something was deleted since the last, which a full
// etcd lets happen, it is worth one sooner.
func (w EtcdSpace) due() bool {
	if !w.followsOn() {
		return true
	}
	if w.Last.Result == v1beta1.EtcdFull && w.compactable() > w.Last.Revision && w.since(cleaningBrief) {
		return true
	}
	if w.Last.Result == v1beta1.EtcdFull && w.Revision > w.Last.Noted {
		return w.since(cleaningPause)
	}
	pause := cleaningPause
	for range min(w.Last.Attempt, 8) - 1 {
		pause = min(2*pause, cleaningPauseMax)
	}
	return w.since(pause)
}

// BackedUpTo is the revision up to which a cluster's history is in its backups, and may go
// from etcd; all of it where backups are not made.
func BackedUpTo(status v1beta1.ManagedClusterStatus, plan BackupPlan) int64 {
	if len(plan.Stores) == 0 {
		return math.MaxInt64
	}
	if status.Backup == nil || status.Backup.RecoveryPoint.IsZero() {
		return 0
	}
	if BackupsApart(status.Conditions) != "" {
		return 0
	}
	return status.Backup.RecoveryRevision
}

// EtcdHasSpace decides the condition of that name.
func EtcdHasSpace(w EtcdSpace) (ok bool, reason, message string) {
	switch {
	case !w.NoSpace:
		return true, "HasSpace", ""
	case w.Last != nil && !w.running() && w.Last.Result == v1beta1.EtcdFull:
		if w.backupsBehind() {
			return false, "BackupsBehind", FullMessage(w)
		}
		return false, "Full", FullMessage(w)
	default:
		return false, "NoSpace", "etcd stores as much as it may, and takes no writes; room is being made"
	}
}

// backupsBehind: history that the API server has no more use for is not in the backups.
func (w EtcdSpace) backupsBehind() bool { return w.BackedUp < min(w.Marked, w.Revision) }

// FullMessage is what the customer is told whose objects alone fill etcd, or the operator if
// it is history that the backups do not have.
func FullMessage(w EtcdSpace) string {
	if w.backupsBehind() {
		return "etcd stores as much as it may, and takes no writes. Its history goes once the backups have it, which they do not: see the condition BackedUp"
	}
	var used, quota int64
	for _, m := range w.Members {
		if m.InUse >= used {
			used, quota = m.InUse, m.Quota
		}
	}
	const mib = 1 << 20
	return fmt.Sprintf("the cluster's objects take %d MiB of the %d MiB that etcd may store: nothing can be created or changed until objects are deleted. "+
		"What has no finalizers can be deleted, such as ConfigMaps, Secrets and custom resources; pods and namespaces cannot. Room is made within about ten minutes of it", used/mib, quota/mib)
}
