package support

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// Verdict is what becomes of a cluster.
type Verdict struct {
	// Status is the next one. Its last act is that of the status before.
	Status v1beta1.SupportStatus
	// Due is the act that is to be carried out now, or nil.
	Due *Due
	// Notices are given now, of clocks that come to their end.
	Notices []Notice
	// Again is after what time there is something new if nothing happens before.
	Again time.Duration
}

// Due is an act and the clause that asks for it.
type Due struct {
	Clause string
	Act    v1beta1.SupportAct
}

// Notice says that a clock ends in about Lead.
type Notice struct {
	Finding v1beta1.SupportFinding
	Lead    time.Duration
}

// Decide judges a cluster by evidence and by what its status said before, which may be
// nil. Every clock whose evidence is there advances, one of which nothing can be known at
// the moment stands still, and every other one is gone.
func Decide(last *v1beta1.SupportStatus, e Evidence, plan policy.SupportPlan, now time.Time) Verdict {
	if last == nil {
		last = &v1beta1.SupportStatus{}
	}
	// Times are stored in seconds: what is cut off here would be counted twice.
	now = now.Truncate(time.Second)
	d := decision{last: last, plan: plan, now: now, verdict: Verdict{Again: plan.Interval}}
	d.verdict.Status = v1beta1.SupportStatus{
		State: v1beta1.SupportSupported, LastAct: last.LastAct.DeepCopy(),
		Findings: []v1beta1.SupportFinding{}, Clocks: []v1beta1.SupportClock{},
	}
	for _, r := range table {
		if found := r.found(e, plan, now); found.message != "" {
			d.add(r, found)
			if r.atOnce != nil {
				d.act(r, r.atOnce(e))
			}
		} else if r.unknown != nil && r.unknown(e) {
			if r.after == nil {
				d.stand(r)
			} else {
				d.hold(r)
			}
		}
	}
	byClause := func(a, b v1beta1.SupportFinding) int { return strings.Compare(a.Clause, b.Clause) }
	slices.SortStableFunc(d.verdict.Status.Findings, byClause)
	return d.verdict
}

// decision is a verdict in the making.
type decision struct {
	last    *v1beta1.SupportStatus
	plan    policy.SupportPlan
	now     time.Time
	verdict Verdict
}

// add takes a row that holds into the verdict, and advances its clock.
func (d *decision) add(r row, found proof) {
	finding := v1beta1.SupportFinding{
		Clause: string(r.clause), Reason: r.reason, Message: found.message, State: r.state,
		Since: d.since(r, found), Act: r.act, WayBack: r.back,
	}
	switch {
	case r.after != nil:
		clock, length := d.clock(r), r.after(d.plan)
		finding.Since = clock.Since
		if !found.since.IsZero() {
			finding.Since = metav1.NewTime(found.since)
		}
		if wait := d.plan.Settle - clock.Elapsed.Duration; r.settles && wait > 0 {
			d.verdict.Status.Clocks = append(d.verdict.Status.Clocks, *clock)
			d.again(wait)
			return
		}
		d.run(r, clock, length, &finding)
	case r.act != "":
		d.act(r, r.act)
	}
	d.found(finding)
}

// hold keeps a clock that there was as it stands, and what was found with it.
func (d *decision) hold(r row) {
	for _, clock := range d.last.Clocks {
		if clock.Clause == string(r.clause) {
			clock.Observed = metav1.NewTime(d.now)
			clock.Ends = metav1.NewTime(d.now.Add(max(left(&clock, r.after(d.plan), d.plan), 0)))
			d.verdict.Status.Clocks = append(d.verdict.Status.Clocks, clock)
			d.keep(r, clock.Ends)
		}
	}
}

// keep has a finding of the last status go on.
func (d *decision) keep(r row, ends metav1.Time) {
	for _, finding := range d.last.Findings {
		if finding.Clause == string(r.clause) && finding.Reason == r.reason {
			finding.Ends = ends.DeepCopy()
			d.found(finding)
		}
	}
}

// found adds a finding, and the state that it makes.
func (d *decision) found(finding v1beta1.SupportFinding) {
	status := &d.verdict.Status
	status.Findings = append(status.Findings, finding)
	if rank[finding.State] > rank[status.State] {
		status.State = finding.State
	}
}

// run gives a clock's notices and sees whether it has run out.
func (d *decision) run(r row, clock *v1beta1.SupportClock, length time.Duration, finding *v1beta1.SupportFinding) {
	lead := notify(clock, length, d.plan)
	clock.Ends = metav1.NewTime(d.now.Add(max(left(clock, length, d.plan), 0)))
	finding.Ends = clock.Ends.DeepCopy()
	clock.Due = lead == 0 && due(clock, length, d.plan)
	d.verdict.Status.Clocks = append(d.verdict.Status.Clocks, *clock)
	switch {
	case lead > 0:
		d.verdict.Notices = append(d.verdict.Notices, Notice{*finding, lead})
		d.again(next(clock, length, d.plan))
	case clock.Due:
		d.act(r, r.act)
	default:
		d.again(next(clock, length, d.plan))
	}
}

// clock is the row's clock, advanced to now.
func (d *decision) clock(r row) *v1beta1.SupportClock {
	for _, clock := range d.last.Clocks {
		if clock.Clause == string(r.clause) {
			advanced := clock.DeepCopy()
			advanced.Act = r.act
			advance(advanced, d.plan.Interval, d.now)
			return advanced
		}
	}
	clock := begin(r, d.now)
	clock.Ends = metav1.NewTime(d.now.Add(r.after(d.plan)))
	return &clock
}

// since is when a finding began: by its evidence, by the last status, or now.
func (d *decision) since(r row, found proof) metav1.Time {
	if !found.since.IsZero() {
		return metav1.NewTime(found.since)
	}
	for _, finding := range d.last.Findings {
		if finding.Clause == string(r.clause) && finding.Reason == r.reason {
			return finding.Since
		}
	}
	return metav1.NewTime(d.now)
}

// act asks for an act. A deletion goes before a stop, and the first clause to ask for
// one is named. To archive is no operation: whoever keeps control planes reads the clock.
func (d *decision) act(r row, act v1beta1.SupportAct) {
	before := d.verdict.Due
	if act == "" || act == v1beta1.ActArchive || before != nil && (before.Act == act || before.Act == v1beta1.ActDelete) {
		return
	}
	d.verdict.Due = &Due{Clause: string(r.clause), Act: act}
}

// again has the cluster looked at sooner.
func (d *decision) again(after time.Duration) {
	d.verdict.Again = max(min(d.verdict.Again, after), time.Second)
}
