package policy

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// The defaults of ServicePolicy for auto-repair (E4, X8; AKS: node-auto-repair).
const (
	DefaultRepairAfter   = 10 * time.Minute
	DefaultRepairWait    = 5 * time.Minute
	DefaultRepairTimeout = 10 * time.Minute
	DefaultRepairLimit   = time.Hour

	DefaultRepairAttempts = 3
	// DefaultRepairBrake is the share of nodes from which on Kubernetes itself takes
	// the fault to lie with the control plane or the network and not with the nodes
	// (unhealthyZoneThreshold, 0.55).
	DefaultRepairBrake    = 55
	DefaultRepairEvidence = 10
)

// repairHistory is how many past actions a machine remembers.
const repairHistory = 10

// RepairPlan is what ServicePolicy asks for of auto-repair.
type RepairPlan struct {
	After, Wait, Timeout, Limit      time.Duration
	Attempts, BrakePercent, Evidence int
}

// Repairs reads ServicePolicy.
func Repairs(spec v1beta1.ServicePolicySpec) RepairPlan {
	set := spec.NodeRepair
	if set == nil {
		set = &v1beta1.NodeRepair{}
	}
	return RepairPlan{
		After:        durationOr(set.After, DefaultRepairAfter),
		Wait:         durationOr(set.Wait, DefaultRepairWait),
		Timeout:      durationOr(set.ActionTimeout, DefaultRepairTimeout),
		Limit:        durationOr(set.Limit, DefaultRepairLimit),
		Attempts:     countOr(set.Attempts, DefaultRepairAttempts),
		BrakePercent: countOr(set.BrakePercent, DefaultRepairBrake),
		Evidence:     countOr(set.Evidence, DefaultRepairEvidence),
	}
}

func countOr(set int32, fallback int) int {
	if set <= 0 {
		return fallback
	}
	return int(set)
}

// repairLadder are the actions in their order (E4).
var repairLadder = []v1beta1.RepairAction{v1beta1.RepairReboot, v1beta1.RepairReimage, v1beta1.RepairRedeploy}

// RepairStep is what becomes of a repair.
type RepairStep string

// The steps of a repair.
const (
	RepairRest    RepairStep = "Rest"    // nothing
	RepairNote    RepairStep = "Note"    // note that the node is ill
	RepairForget  RepairStep = "Forget"  // the node is well, or not to be judged
	RepairHold    RepairStep = "Hold"    // it is time and something is in the way
	RepairPause   RepairStep = "Pause"   // the clock begins anew when the node can be seen
	RepairBegin   RepairStep = "Begin"   // note the next action, which is carried out from then on
	RepairCarryOn RepairStep = "CarryOn" // carry the action out
	RepairEnd     RepairStep = "End"     // the action was carried out
	RepairFail    RepairStep = "Fail"    // the action was not carried out in time
	RepairGiveUp  RepairStep = "GiveUp"  // all was tried
)

// RepairClock says what time has come to.
type RepairClock string

// The states of a repair's clock.
const (
	ClockRunning RepairClock = "Running"
	ClockDue     RepairClock = "Due"  // the time that the stage takes is over
	ClockOver    RepairClock = "Over" // and that of the whole repair, or its last attempt
)

// RepairSituation is all that a step depends on.
type RepairSituation struct {
	Stage  v1beta1.RepairStage
	Health NodeHealth
	Bar    RepairBar
	Clock  RepairClock
	// Done says that the machine shows the action that was begun.
	Done bool
}

// RepairRow matches every RepairSituation whose fields are among its own; an empty list matches all.
type repairRow struct {
	stage  []v1beta1.RepairStage
	health []NodeHealth
	bar    []RepairBar
	clock  []RepairClock
	done   []bool
	next   v1beta1.RepairStage
	step   RepairStep
	why    string
}

const repairNone v1beta1.RepairStage = ""

var (
	atNone      = []v1beta1.RepairStage{repairNone}
	atUnhealthy = []v1beta1.RepairStage{v1beta1.RepairUnhealthy}
	atActing    = []v1beta1.RepairStage{v1beta1.RepairActing}
	atWatching  = []v1beta1.RepairStage{v1beta1.RepairWatching}
	atGaveUp    = []v1beta1.RepairStage{v1beta1.RepairGaveUp}
	isWell      = []NodeHealth{HealthWell}
	isIll       = []NodeHealth{HealthIll}
	isUnknown   = []NodeHealth{HealthUnknown}
	isHeld      = []RepairBar{BarOff, BarBrake, BarTurn}
	isRunning   = []RepairClock{ClockRunning}
)

// repairTable is the course of a repair. The first row that matches holds.
var repairTable = []repairRow{
	{nil, nil, []RepairBar{BarExempt}, nil, nil, repairNone, RepairForget, "somebody else is at work on the node, or it is not Berth's to judge"},

	{atActing, nil, nil, nil, []bool{true}, v1beta1.RepairWatching, RepairEnd, "the machine shows that it was done; End does not say that it helped (AKS: node-auto-repair)"},
	{atActing, nil, nil, []RepairClock{ClockDue, ClockOver}, nil, v1beta1.RepairWatching, RepairFail, "an action that does not end must not keep the next one away"},
	{atActing, nil, nil, nil, nil, v1beta1.RepairActing, RepairCarryOn, "what was begun is done, whatever the node says meanwhile"},

	{atGaveUp, isWell, nil, nil, nil, repairNone, RepairForget, "somebody mended it"},
	{atGaveUp, nil, nil, nil, nil, v1beta1.RepairGaveUp, RepairRest, "up to 3 sequences and an hour (AKS: node-auto-repair)"},

	{atNone, isIll, nil, nil, nil, v1beta1.RepairUnhealthy, RepairNote, "it may recover by itself; its components are started again meanwhile (E3)"},
	{atNone, nil, nil, nil, nil, repairNone, RepairRest, "there is nothing to do"},

	{atUnhealthy, isWell, nil, nil, nil, repairNone, RepairForget, "it recovered"},
	{atUnhealthy, isUnknown, nil, nil, nil, repairNone, RepairForget, "a control plane that does not answer tells nothing about its nodes"},
	{atUnhealthy, nil, nil, isRunning, nil, v1beta1.RepairUnhealthy, RepairRest, "10 minutes (AKS: node-auto-repair)"},
	{atUnhealthy, nil, isHeld, nil, nil, v1beta1.RepairUnhealthy, RepairHold, "switched off, too many at once, or not its turn (X8)"},
	{atUnhealthy, nil, nil, nil, nil, v1beta1.RepairActing, RepairBegin, "a node that is not working is restarted (E4)"},

	{atWatching, isWell, nil, []RepairClock{ClockDue, ClockOver}, nil, repairNone, RepairForget, "it has stayed well"},
	{atWatching, isWell, nil, nil, nil, v1beta1.RepairWatching, RepairRest, "one that is ill again at once goes on with the next action"},
	{atWatching, isUnknown, nil, nil, nil, v1beta1.RepairWatching, RepairPause, "a control plane that does not answer tells nothing about its nodes"},
	{atWatching, nil, nil, isRunning, nil, v1beta1.RepairWatching, RepairRest, "a node needs time to come back (AKS: action once unhealthy for 5 minutes)"},
	{atWatching, nil, isHeld, nil, nil, v1beta1.RepairUnhealthy, RepairHold, "what is held begins anew once it may (X8)"},
	{atWatching, nil, nil, []RepairClock{ClockOver}, nil, v1beta1.RepairGaveUp, RepairGiveUp, "up to 3 sequences and an hour (AKS: node-auto-repair)"},
	{atWatching, nil, nil, nil, nil, v1beta1.RepairActing, RepairBegin, "each only if the one before did not help (E4)"},
}

func (r repairRow) matches(s RepairSituation) bool {
	return oneOf(r.stage, s.Stage) && oneOf(r.health, s.Health) && oneOf(r.bar, s.Bar) && oneOf(r.clock, s.Clock) && oneOf(r.done, s.Done)
}

func oneOf[T comparable](list []T, value T) bool {
	return len(list) == 0 || slices.Contains(list, value)
}

func decideRepair(s RepairSituation) (v1beta1.RepairStage, RepairStep) {
	for _, row := range repairTable {
		if row.matches(s) {
			return row.next, row.step
		}
	}
	return s.Stage, RepairRest
}

// MachineSight is what is seen of a machine: which one it is, how often it booted,
// on which host, and whether it runs.
type MachineSight struct {
	Incarnation string
	Boots       int32
	Host        string
	Running     bool
}

// RepairInput is a node and its machine at one moment.
type RepairInput struct {
	// Record is what was noted last; nil if nothing ever was.
	Record  *v1beta1.MachineRepair
	Illness Illness
	Bar     RepairBar
	// Held is the bar's reason, for people.
	Held    string
	Machine MachineSight
	Plan    RepairPlan
	Now     time.Time
}

// RepairDecision is what to note before anything is done, and the step.
type RepairDecision struct {
	// Record is nil where there is nothing to note and never was.
	Record *v1beta1.MachineRepair
	Step   RepairStep
	// Again is after what time the decision may change by itself; 0 is never.
	Again time.Duration
}

// Repair decides what becomes of a node (E4, X8). It does not change its input.
func Repair(in RepairInput) RepairDecision {
	record := in.Record.DeepCopy()
	if record == nil {
		record = &v1beta1.MachineRepair{}
	}
	noteHealth(record, in)
	stage, step := decideRepair(RepairSituation{
		Stage: record.Stage, Health: in.Illness.Health, Bar: in.Bar, Clock: repairClock(record, in), Done: actionShows(record, in.Machine),
	})
	takeStep(record, step, in)
	if record.Stage = stage; stage == v1beta1.RepairWatching {
		noteHealth(record, in)
	}
	again := lookAhead(record, in)
	if in.Record == nil && stage == repairNone {
		record = nil
	}
	return RepairDecision{Record: record, Step: step, Again: again}
}

// noteHealth keeps since when the node is ill, or well after an action.
func noteHealth(record *v1beta1.MachineRepair, in RepairInput) {
	now := metav1.NewTime(in.Now.Truncate(time.Second))
	switch in.Illness.Health {
	case HealthIll:
		record.Reason, record.Message, record.HealthySince = in.Illness.Reason, in.Illness.Message, nil
		if record.UnhealthySince == nil {
			record.UnhealthySince = &now
		}
	case HealthWell:
		record.UnhealthySince = nil
		if record.HealthySince == nil && record.Stage == v1beta1.RepairWatching {
			record.HealthySince = &now
		}
	case HealthUnknown:
		record.UnhealthySince, record.HealthySince = nil, nil
	}
}

// repairDue is when the record's stage has lasted as long as it takes; zero if no time ends it.
func repairDue(record *v1beta1.MachineRepair, in RepairInput) time.Time {
	switch {
	case record.Stage == v1beta1.RepairActing && record.ActionStarted != nil:
		return record.ActionStarted.Add(in.Plan.Timeout)
	case record.Stage == v1beta1.RepairUnhealthy && record.UnhealthySince != nil:
		return record.UnhealthySince.Add(in.Plan.After)
	case record.Stage == v1beta1.RepairWatching && record.HealthySince != nil:
		return record.HealthySince.Add(in.Plan.After)
	case record.Stage == v1beta1.RepairWatching && record.UnhealthySince != nil && record.ActionEnded != nil:
		since := record.UnhealthySince.Time
		if record.ActionEnded.After(since) {
			since = record.ActionEnded.Time
		}
		return since.Add(in.Plan.Wait)
	}
	return time.Time{}
}

func repairClock(record *v1beta1.MachineRepair, in RepairInput) RepairClock {
	due := repairDue(record, in)
	if due.IsZero() || in.Now.Before(due) {
		return ClockRunning
	}
	_, attempt := nextAction(record)
	if record.Began != nil && (attempt > in.Plan.Attempts || !in.Now.Before(record.Began.Add(in.Plan.Limit))) {
		return ClockOver
	}
	return ClockDue
}

// nextAction is the action after the record's, and in which attempt it is taken.
func nextAction(record *v1beta1.MachineRepair) (v1beta1.RepairAction, int) {
	at := slices.Index(repairLadder, record.Action)
	if record.Began == nil || at < 0 {
		return repairLadder[0], 1
	}
	if at+1 < len(repairLadder) {
		return repairLadder[at+1], int(record.Attempt)
	}
	return repairLadder[0], int(record.Attempt) + 1
}

// actionShows says whether the machine shows the action that was begun.
func actionShows(record *v1beta1.MachineRepair, seen MachineSight) bool {
	if record.Stage != v1beta1.RepairActing || !seen.Running {
		return false
	}
	another := seen.Incarnation != record.Incarnation
	if record.Action == v1beta1.RepairReboot {
		return another || seen.Boots > record.Boots
	}
	return another && record.Replaced
}

func takeStep(record *v1beta1.MachineRepair, step RepairStep, in RepairInput) {
	now := metav1.NewTime(in.Now.Truncate(time.Second))
	record.Held = ""
	switch step {
	case RepairForget:
		*record = v1beta1.MachineRepair{Evidence: record.Evidence, Count: record.Count, History: record.History}
	case RepairHold:
		*record = v1beta1.MachineRepair{
			Evidence: record.Evidence, Count: record.Count, History: record.History,
			Reason: record.Reason, Message: record.Message, UnhealthySince: record.UnhealthySince, Held: in.Held,
		}
	case RepairBegin:
		action, attempt := nextAction(record)
		if record.Began == nil {
			record.Began = &now
		}
		record.Action, record.Attempt, record.ActionStarted = action, int32(attempt), &now
		record.ActionEnded, record.ActionError, record.Replaced = nil, "", false
		record.Incarnation, record.Boots, record.Host = in.Machine.Incarnation, in.Machine.Boots, in.Machine.Host
		record.Count++
	case RepairEnd:
		endAction(record, now, "")
	case RepairFail:
		endAction(record, now, "it was not done within "+in.Plan.Timeout.String())
	}
}

func endAction(record *v1beta1.MachineRepair, now metav1.Time, failure string) {
	record.ActionEnded, record.ActionError, record.HealthySince = &now, failure, nil
	done := v1beta1.RepairedRecord{Action: record.Action, Reason: record.Reason, Started: *record.ActionStarted, Ended: now, Error: failure}
	record.History = append([]v1beta1.RepairedRecord{done}, record.History...)
	record.History = record.History[:min(len(record.History), repairHistory)]
}

// lookAhead notes what is next, and returns when to look again.
func lookAhead(record *v1beta1.MachineRepair, in RepairInput) time.Duration {
	record.NextAction, record.NextTime = "", nil
	due := repairDue(record, in)
	if record.Stage == repairNone {
		return in.Plan.After
	}
	climbs := record.UnhealthySince != nil && record.Held == "" && (record.Stage == v1beta1.RepairUnhealthy || record.Stage == v1beta1.RepairWatching)
	if action, attempt := nextAction(record); climbs && attempt <= in.Plan.Attempts {
		at := metav1.NewTime(due)
		record.NextAction, record.NextTime = action, &at
	}
	if due.IsZero() || !due.After(in.Now) {
		return min(in.Plan.After, in.Plan.Wait)
	}
	return due.Sub(in.Now)
}
