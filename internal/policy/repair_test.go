package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

var (
	repairStages = []v1beta1.RepairStage{repairNone, v1beta1.RepairUnhealthy, v1beta1.RepairActing, v1beta1.RepairWatching, v1beta1.RepairGaveUp}
	repairHealth = []NodeHealth{HealthUnknown, HealthWell, HealthIll}
	everyBar     = []RepairBar{BarNone, BarExempt, BarOff, BarBrake, BarTurn}
	repairClocks = []RepairClock{ClockRunning, ClockDue, ClockOver}
)

func everyRepair(visit func(RepairSituation)) {
	for _, stage := range repairStages {
		for _, health := range repairHealth {
			for _, bar := range everyBar {
				for _, clock := range repairClocks {
					for _, done := range []bool{false, true} {
						visit(RepairSituation{stage, health, bar, clock, done})
					}
				}
			}
		}
	}
}

func TestRepairTableIsExhaustiveAndNoRowIsUnreachable(t *testing.T) {
	used := make([]int, len(repairTable))
	everyRepair(func(s RepairSituation) {
		for i, row := range repairTable {
			if !row.matches(s) {
				continue
			}
			used[i]++
			if stage, step := decideRepair(s); stage != row.next || step != row.step {
				t.Errorf("%+v: not the first row that matches", s)
			}
			return
		}
		t.Errorf("%+v: no row", s)
	})
	for i, n := range used {
		if n == 0 || repairTable[i].why == "" {
			t.Errorf("row %d (%s): reached %d times", i, repairTable[i].why, n)
		}
	}
}

// What must hold in every situation, whatever the table says.
func TestRepairsAreSafe(t *testing.T) {
	everyRepair(func(s RepairSituation) {
		stage, step := decideRepair(s)
		begins := step == RepairBegin
		switch {
		case begins != (stage == v1beta1.RepairActing && s.Stage != v1beta1.RepairActing):
			t.Errorf("%+v: an action begins without its step, or the step without it: %s %s", s, stage, step)
		case begins && (s.Health != HealthIll || s.Bar != BarNone || s.Clock == ClockRunning):
			t.Errorf("%+v: an action begins", s)
		case step == RepairCarryOn && s.Stage != v1beta1.RepairActing:
			t.Errorf("%+v: carries on what was not begun", s)
		case s.Bar == BarExempt && stage != repairNone:
			t.Errorf("%+v: an exempt node is judged", s)
		case s.Health == HealthUnknown && s.Stage != v1beta1.RepairActing && stage == v1beta1.RepairActing:
			t.Errorf("%+v: a node is judged that nobody sees", s)
		}
	})
}

var repairStart = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// patient is a node under repair, told as a story.
type patient struct {
	*testing.T
	record *v1beta1.MachineRepair
	now    time.Time
	seen   MachineSight
}

func newPatient(t *testing.T) *patient {
	return &patient{T: t, now: repairStart, seen: MachineSight{Incarnation: "a", Boots: 1, Host: "h", Running: true}}
}

// look decides after some time and notes the result.
func (p *patient) look(after time.Duration, health NodeHealth, bar RepairBar) RepairStep {
	p.Helper()
	p.now = p.now.Add(after)
	before := p.record.DeepCopy()
	d := Repair(RepairInput{
		Record: p.record, Illness: Illness{health, "NodeNotReady", "m"}, Bar: bar, Held: string(bar),
		Machine: p.seen, Plan: Repairs(v1beta1.ServicePolicySpec{}), Now: p.now,
	})
	if before == nil != (p.record == nil) || before != nil && (before.Stage != p.record.Stage || before.Count != p.record.Count) {
		p.Error("Repair changed its input")
	}
	if d.Again <= 0 {
		p.Errorf("%s: nobody looks again", d.Step)
	}
	p.record = d.Record
	return d.Step
}

func (p *patient) expect(got, want RepairStep) {
	p.Helper()
	if got != want {
		p.Fatalf("%s after %s: %s, want %s; %+v", p.T.Name(), p.now.Sub(repairStart), got, want, p.record)
	}
}

// done is a machine that shows its action.
func (p *patient) done() {
	if p.record.Action == v1beta1.RepairReboot {
		p.seen.Boots++
		return
	}
	p.record.Replaced = true
	p.seen.Incarnation, p.seen.Boots = p.seen.Incarnation+"x", 1
}

// The whole ladder with AKS's own figures: reboot, reimage, redeploy, three times and
// within an hour, and each action once.
func TestRepairClimbsTheLadder(t *testing.T) {
	p := newPatient(t)
	p.expect(p.look(0, HealthWell, BarNone), RepairRest)
	if p.record != nil {
		t.Fatalf("a node that was always well has a record: %+v", p.record)
	}
	p.expect(p.look(0, HealthIll, BarNone), RepairNote)
	if p.record.NextAction != v1beta1.RepairReboot || !p.record.NextTime.Equal(&metav1.Time{Time: repairStart.Add(10 * time.Minute)}) {
		t.Errorf("next is %s at %v", p.record.NextAction, p.record.NextTime)
	}
	p.expect(p.look(10*time.Minute-time.Second, HealthIll, BarNone), RepairRest)
	p.now = p.now.Add(time.Second)
	var actions []v1beta1.RepairAction
	for p.look(0, HealthIll, BarNone) == RepairBegin {
		actions = append(actions, p.record.Action)
		if want := int32((len(actions)-1)/3 + 1); p.record.Attempt != want || p.record.Count != int32(len(actions)) {
			t.Errorf("action %d: attempt %d, count %d", len(actions), p.record.Attempt, p.record.Count)
		}
		p.expect(p.look(10*time.Second, HealthIll, BarNone), RepairCarryOn)
		p.done()
		p.expect(p.look(10*time.Second, HealthIll, BarNone), RepairEnd)
		p.expect(p.look(5*time.Minute-time.Second, HealthIll, BarNone), RepairRest)
		p.now = p.now.Add(time.Second)
	}
	if len(actions) != 9 || actions[0] != v1beta1.RepairReboot || actions[1] != v1beta1.RepairReimage || actions[2] != v1beta1.RepairRedeploy || actions[3] != v1beta1.RepairReboot {
		t.Errorf("actions %v, want three times reboot, reimage, redeploy", actions)
	}
	if p.record.Stage != v1beta1.RepairGaveUp || len(p.record.History) != 9 || p.record.NextAction != "" {
		t.Errorf("in the end %+v", p.record)
	}
	p.expect(p.look(24*time.Hour, HealthIll, BarNone), RepairRest)
	p.expect(p.look(0, HealthWell, BarNone), RepairForget)
	if p.record.Stage != repairNone || p.record.Count != 9 {
		t.Errorf("after it was mended by hand: %+v", p.record)
	}
}

func TestRepairEndsWithItsHour(t *testing.T) {
	p := newPatient(t)
	p.look(0, HealthIll, BarNone)
	p.expect(p.look(10*time.Minute, HealthIll, BarNone), RepairBegin)
	p.expect(p.look(10*time.Minute, HealthIll, BarNone), RepairFail)
	if p.record.ActionError == "" || p.record.History[0].Error == "" {
		t.Errorf("nobody says why the reboot failed: %+v", p.record)
	}
	p.expect(p.look(5*time.Minute, HealthIll, BarNone), RepairBegin)
	p.done()
	p.expect(p.look(time.Minute, HealthIll, BarNone), RepairEnd)
	p.expect(p.look(44*time.Minute, HealthIll, BarNone), RepairGiveUp)
}

func TestRepairStories(t *testing.T) {
	for why, story := range map[string]func(*patient){
		"a node that recovers by itself is left alone": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.expect(p.look(9*time.Minute, HealthWell, BarNone), RepairForget)
			p.expect(p.look(time.Minute, HealthIll, BarNone), RepairNote)
			p.expect(p.look(9*time.Minute, HealthIll, BarNone), RepairRest)
		},
		"a control plane that is away starts the clock anew": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.expect(p.look(9*time.Minute, HealthUnknown, BarNone), RepairForget)
			p.expect(p.look(time.Hour, HealthIll, BarNone), RepairNote)
			p.expect(p.look(9*time.Minute, HealthIll, BarNone), RepairRest)
			p.expect(p.look(time.Minute, HealthIll, BarNone), RepairBegin)
			p.done()
			p.look(time.Second, HealthIll, BarNone)
			p.expect(p.look(20*time.Minute, HealthUnknown, BarNone), RepairPause)
			p.expect(p.look(0, HealthIll, BarNone), RepairRest)
			p.expect(p.look(5*time.Minute, HealthIll, BarNone), RepairBegin)
		},
		"an action that was begun is not begun again, and not ended before it shows": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.expect(p.look(10*time.Minute, HealthIll, BarNone), RepairBegin)
			for range 3 {
				p.expect(p.look(time.Second, HealthIll, BarNone), RepairCarryOn)
			}
			p.seen.Running = false
			p.seen.Boots++
			p.expect(p.look(time.Second, HealthUnknown, BarNone), RepairCarryOn)
			p.seen.Running = true
			p.expect(p.look(time.Second, HealthIll, BarNone), RepairEnd)
		},
		"a node that was mended and is ill again at once goes on with the next action": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.look(10*time.Minute, HealthIll, BarNone)
			p.done()
			p.look(time.Second, HealthIll, BarNone)
			p.expect(p.look(time.Minute, HealthWell, BarNone), RepairRest)
			p.expect(p.look(2*time.Minute, HealthIll, BarNone), RepairRest)
			p.expect(p.look(5*time.Minute, HealthIll, BarNone), RepairBegin)
			if p.record.Action != v1beta1.RepairReimage {
				p.Errorf("the next action is %s", p.record.Action)
			}
		},
		"a node that stays well is forgotten, and begins with a reboot another time": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.look(10*time.Minute, HealthIll, BarNone)
			p.done()
			p.look(time.Second, HealthIll, BarNone)
			p.look(time.Minute, HealthWell, BarNone)
			p.expect(p.look(10*time.Minute, HealthWell, BarNone), RepairForget)
			p.look(time.Minute, HealthIll, BarNone)
			p.expect(p.look(10*time.Minute, HealthIll, BarNone), RepairBegin)
			if p.record.Action != v1beta1.RepairReboot || p.record.Count != 2 || len(p.record.History) != 1 {
				p.Errorf("%+v", p.record)
			}
		},
		"what is held says so, and begins when it may": func(p *patient) {
			p.look(0, HealthIll, BarBrake)
			p.expect(p.look(10*time.Minute, HealthIll, BarBrake), RepairHold)
			if p.record.Held != string(BarBrake) || p.record.NextAction != "" || p.record.UnhealthySince == nil {
				p.Errorf("%+v", p.record)
			}
			p.expect(p.look(time.Hour, HealthIll, BarBrake), RepairHold)
			p.expect(p.look(0, HealthIll, BarNone), RepairBegin)
		},
		"a brake that comes later ends the sequence after its action": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.look(10*time.Minute, HealthIll, BarNone)
			p.expect(p.look(time.Second, HealthIll, BarBrake), RepairCarryOn)
			p.done()
			p.look(time.Second, HealthIll, BarBrake)
			p.expect(p.look(5*time.Minute, HealthIll, BarBrake), RepairHold)
			p.expect(p.look(5*time.Minute, HealthIll, BarNone), RepairBegin)
			if p.record.Action != v1beta1.RepairReboot {
				p.Errorf("it goes on with %s", p.record.Action)
			}
		},
		"an upgrade that takes the node over ends the repair": func(p *patient) {
			p.look(0, HealthIll, BarNone)
			p.look(10*time.Minute, HealthIll, BarNone)
			p.expect(p.look(time.Second, HealthIll, BarExempt), RepairForget)
		},
	} {
		t.Run(why, func(t *testing.T) { story(newPatient(t)) })
	}
}
