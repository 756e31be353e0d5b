package support

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// A cluster all of whose machines were deallocated is out of support, and is stopped
// after 30 days (J3): both that and J4 hold, and J3 is named.
func TestDeallocatedClustersAreStopped(t *testing.T) {
	e := healthy()
	e.Off = []Instance{{Node: "n1", By: "someone", Since: noon, Power: v1beta1.InstanceDeallocated}, {Node: "n2", By: "someone", Since: noon, Power: v1beta1.InstanceStopped}}
	e.AllOff, e.NoNodes = true, true
	l := &life{evidence: e, plan: defaults()}
	for l.due == nil && l.truth < 60*aDay {
		l.look()
		l.truth += l.plan.Interval
	}
	if l.due == nil || l.due.Clause != "J3" || l.due.Act != v1beta1.ActStop {
		t.Fatalf("after %s: %+v", l.truth, l.due)
	}
	if l.truth < 30*aDay || l.truth > 30*aDay+3*l.plan.Interval {
		t.Errorf("it was due after %s", l.truth)
	}
	l.evidence.Stopped, l.evidence.StoppedSince = true, noon.Add(l.truth)
	l.look()
	for _, finding := range l.written.Findings {
		if finding.Clause != "J2" {
			t.Errorf("a stopped cluster is told %s", finding.Clause)
		}
	}
}

// A finding has who did what, when, and the earliest of several counts.
func TestFindingsOfInstances(t *testing.T) {
	early, late := noon.Add(-2*time.Hour), noon.Add(-time.Hour)
	for _, c := range []struct {
		why    string
		change func(*Evidence)
		clause string
		words  []string
		since  time.Time
	}{
		{"two machines", func(e *Evidence) {
			e.Off = []Instance{{Node: "n1", By: "ann", Since: late, Power: v1beta1.InstanceDeallocated}, {Node: "n2", Since: early, Power: v1beta1.InstanceStopped}}
		}, "B3", []string{"ann made n1 deallocated at 2026-11-26T11:00:00Z", "somebody made n2 stopped"}, early},
		{"more than are shown", func(e *Evidence) {
			for range 8 {
				e.Removed = append(e.Removed, Instance{Node: "n", By: "ann", Since: late})
			}
		}, "G4", []string{"ann deleted n at", "and 3 more"}, late},
		{"files", func(e *Evidence) {
			e.Files = []Files{{"n1", v1beta1.ChangedFiles{Time: metav1.NewTime(early), RequestedBy: "ann", Paths: []string{"/etc/a", "/usr/b"}, Count: 7}}}
		}, "G2", []string{"ann ran on n1", "changed 7 files", "/etc/a, /usr/b"}, early},
		{"tags of which nobody knows when", func(e *Evidence) { e.Tags = []Tags{{Resource: "resource group MC", Keys: []string{"k"}}} },
			"B4", []string{"somebody changed tags k of resource group MC"}, noon},
	} {
		e := healthy()
		c.change(&e)
		findings := Decide(nil, e, defaults(), noon).Status.Findings
		if len(findings) != 1 || findings[0].Clause != c.clause || !findings[0].Since.Time.Equal(c.since) || findings[0].State != v1beta1.SupportOutOfSupport {
			t.Errorf("%s: %+v", c.why, findings)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(findings[0].Message, word) {
				t.Errorf("%s: %q does not say %q", c.why, findings[0].Message, word)
			}
		}
	}
}
