package triage

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/clause"
)

// decideScene answers a case.
func decideScene(s scene) v1beta1.SupportTriage {
	ticket, e := Ticket{Topic: s.topic, Text: s.words, Severity: v1beta1.SeverityModerate}, healthy()
	for _, change := range s.found {
		change(&ticket, &e)
	}
	return Decide(ticket, e, noon)
}

func TestCases(t *testing.T) {
	if len(cases) < 60 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, s := range cases {
		triage := decideScene(s)
		if len(triage.Reasons) == 0 {
			t.Errorf("%q on %s has no answer", s.words, s.topic)
			continue
		}
		first := triage.Reasons[0]
		if triage.Answer != s.answer || first.Clause != s.clause || first.Reason != s.reason {
			t.Errorf("%q on %s (%s): %s by %s %s (%s), want %s by %s %s", s.words, s.topic, s.why, triage.Answer, first.Clause, first.Reason, first.Evidence, s.answer, s.clause, s.reason)
		}
	}
}

// No row is unreachable: each is a reason in some case. Its clause is one of the policy,
// and it says what to do.
func TestEveryRow(t *testing.T) {
	given := map[string]bool{}
	for _, s := range cases {
		for _, reason := range decideScene(s).Reasons {
			given[reason.Clause+" "+reason.Reason] = true
		}
	}
	seen := map[string]bool{}
	for _, r := range table {
		name := string(r.clause) + " " + r.reason
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if !given[name] {
			t.Errorf("no case gives %s", name)
		}
		if !clause.Known(r.clause) || r.next == "" {
			t.Errorf("%s is no clause of the policy, or does not say what to do", name)
		}
		for _, topic := range r.topics {
			if _, ok := Find(topic); !ok {
				t.Errorf("%s is about %s, which is no topic", name, topic)
			}
		}
	}
}

// The clauses of C and D, and those others that decide tickets, each have a row or are
// listed here with the reason.
func TestEveryClauseOfTicketsHasARow(t *testing.T) {
	want := []clause.ID{
		"B2", "B3", "B4", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11", "D12", "D13",
		"G1", "G2", "G3", "G4", "G5", "G6", "I1", "K1", "L1", "L2", "L3",
	}
	for _, id := range want {
		if !slices.ContainsFunc(table, func(r row) bool { return r.clause == id }) {
			t.Errorf("%s has no row", id)
		}
	}
}

// against is evidence that can only hurt.
var against = map[string]change{
	"B3": resized, "B4": relabelled, "G2": rebaked, "G3": extended, "G4": rescaled, "I1": loggedIn, "F1": oldImage, "F4": retired,
	"L3": previewed, "J3": allOff, "J4": noNodes, "J6": suspended, "J7": deleted, "another clause": unknown, "a stop": halted,
	"a webhook": blocks, "a contest": fought, "an own CNI": ownNetwork, "own policies": ownPolicies, "a DaemonSet": tuned(aDay, aDay, 1, 1),
}

// More tampering, and any other evidence against a cluster, never gets a better answer.
func TestMoreTamperingIsNeverBetter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := make([]string, 0, len(against))
	for name := range against {
		names = append(names, name)
	}
	slices.Sort(names)
	for range 5000 {
		s := cases[random.IntN(len(cases))]
		ticket, e := Ticket{Topic: s.topic, Text: s.words}, healthy()
		for _, change := range s.found {
			change(&ticket, &e)
		}
		before := Decide(ticket, e, noon)
		for _, i := range random.Perm(len(names))[:4] {
			against[names[i]](&ticket, &e)
			after := Decide(ticket, e, noon)
			if rank[after.Answer] < rank[before.Answer] {
				t.Fatalf("%q on %s: %s made %s of %s", s.words, s.topic, names[i], after.Answer, before.Answer)
			}
			before = after
		}
	}
}

// Every topic has an answer, whatever is found, and reasons that hold together.
func TestDecideIsTotal(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	changes := []change{
		nothing, retired, platform, previewed, oldImage, relabelled, loggedIn, halted, ownNetwork, noPolicies, ownPolicies, ownNginx, managed, fought,
		broken, mending, blocks, lagging, selfish, closed, consent, urgent, notYet, tuned(aDay, aDay, 1, 1),
	}
	for _, c := range Topics() {
		for range 300 {
			ticket, e := Ticket{Topic: c.Topic}, healthy()
			for _, i := range random.Perm(len(changes))[:random.IntN(6)] {
				changes[i](&ticket, &e)
			}
			triage := Decide(ticket, e, noon)
			if len(triage.Reasons) == 0 || triage.Answer != triage.Reasons[0].Answer {
				t.Fatalf("%s with %+v: %+v", c.Topic, e, triage)
			}
			for _, reason := range triage.Reasons {
				if rank[reason.Answer] > rank[triage.Answer] || reason.Evidence == "" || reason.Next == "" {
					t.Fatalf("%s: %s does not bear %+v", c.Topic, triage.Answer, reason)
				}
			}
		}
	}
}

// What is out of support is never in scope, whatever the ticket is about.
func TestOutOfSupportIsNeverInScope(t *testing.T) {
	for _, c := range Topics() {
		for _, id := range []string{"A1", "B3", "B4", "F1", "F4", "G2", "G3", "G4", "I1", "J3", "J4", "J6", "J7"} {
			e := healthy()
			told1(id, v1beta1.SupportOutOfSupport, "evidence", "")(nil, &e)
			if answer := Decide(Ticket{Topic: c.Topic, Consent: true}, e, noon).Answer; rank[answer] < rank[v1beta1.AnswerCustomersPart] {
				t.Errorf("%s of a cluster out of support by %s is %s", c.Topic, id, answer)
			}
		}
	}
}

// A component counts when it is named as a word of its own.
func TestNamed(t *testing.T) {
	for text, want := range map[string]string{
		"The Envoy-proxy":                          "",
		"Envoy, then Istio":                        "Istio,Envoy",
		"nginx-internal":                           "",
		"we saw it (nginx ingress) and in TRAEFIK": "ingress-nginx,Traefik",
		"the overwhelming latency":                 "",
	} {
		var found []string
		for _, of := range []kind{mesh, ingress, openSource} {
			found = append(found, named(text, of)...)
		}
		if got := strings.Join(found, ","); got != want {
			t.Errorf("%q names %q, want %q", text, got, want)
		}
	}
}

// A letter says the answer, the clause, the evidence and the next step.
func TestLetter(t *testing.T) {
	subject, body := Letter(decideScene(scene{words: "ingress", topic: Ingress, found: []change{ownNginx, retired}}))
	if subject != "Out of scope of support" {
		t.Errorf("subject %q", subject)
	}
	for _, part := range []string{"Clause D9", "nginx-internal", "Next: Ask the controller's vendor", "found as well", "Clause F4", "Next: Upgrade."} {
		if !strings.Contains(body, part) {
			t.Errorf("the letter lacks %q:\n%s", part, body)
		}
	}
	for _, one := range []v1beta1.SupportAnswer{in, best, hours, customer, out} {
		if Heading(one) == "" {
			t.Errorf("%s has no words", one)
		}
	}
}

// A ticket is kept as one object: of a thousand ill nodes not every one is told.
func TestEvidenceIsBounded(t *testing.T) {
	e := healthy()
	for range 1000 {
		tuned(30*time.Minute, 20*time.Minute, 0, 1)(nil, &e)
		e.Webhooks = append(e.Webhooks, strings.Repeat("é", 1000))
	}
	_, letter := Letter(Decide(Ticket{Topic: NodeNotReady}, e, noon))
	if len(letter) > 8<<10 || !strings.Contains(letter, "and 995 more") || !utf8.ValidString(letter) {
		t.Errorf("%d bytes: %s", len(letter), letter)
	}
}

// What a text names, and what it says is not there.
func TestDenied(t *testing.T) {
	for text, want := range map[string]string{
		"We do not use Istio":                            "",
		"We don\u2019t use the Istio mesh":               "",
		"no Istio, no Linkerd":                           "",
		"We no longer run Istio":                         "",
		"It fails without istio as well":                 "",
		"neither Istio nor Linkerd is there":             "",
		"Istio does not work":                            "Istio",
		"It does not work with Istio":                    "Istio",
		"We did not touch Istio":                         "Istio",
		"We use Istio, not Linkerd":                      "Istio, Linkerd",
		"We do not use Istio here; in prod we use Istio": "Istio",
		"pods without a sidecar of Istio work":           "Istio",
		"istiod restarts":                                "Istio",
		"histionic":                                      "",
	} {
		if got := strings.Join(named(text, mesh), ", "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"Ingress to our nginx Deployment": "", "our ingress nginx": "ingress-nginx", "nginx-ingress fails": "ingress-nginx", "the nginx controller": "ingress-nginx",
		"the haproxy behind it": "", "Traefik": "Traefik",
	} {
		if got := strings.Join(named(text, ingress), ", "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
