package triage

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/clause"
)

// rank orders the answers: a higher one is worse for the customer.
var rank = map[v1beta1.SupportAnswer]int{
	v1beta1.AnswerInScope:       0,
	v1beta1.AnswerBestEffort:    1,
	v1beta1.AnswerBusinessHours: 2,
	v1beta1.AnswerCustomersPart: 3,
	v1beta1.AnswerOutOfScope:    4,
}

// proof is what a row found. Without evidence the row does not hold.
type proof struct {
	evidence string
	// next replaces the row's own.
	next string
}

// row is one thing that the policy says of tickets.
type row struct {
	clause clause.ID
	reason string
	// topics are those that it is about; nil for all.
	topics []Topic
	found  func(Ticket, Evidence) proof
	answer v1beta1.SupportAnswer
	// next is what to do.
	next string
}

// Decide answers a ticket. Of the rows that hold the worst gives the answer, of equally
// bad ones the first; its reason comes first, and those of the others follow. So no
// evidence against a cluster can be outweighed by anything else that is found. A topic
// that is not in Topics has no answer: it is refused before.
func Decide(ticket Ticket, e Evidence, now time.Time) v1beta1.SupportTriage {
	var reasons []v1beta1.SupportReason
	for _, r := range table {
		if r.topics != nil && !slices.Contains(r.topics, ticket.Topic) {
			continue
		}
		found := r.found(ticket, e)
		if found.evidence == "" {
			continue
		}
		next := r.next
		if found.next != "" {
			next = found.next
		}
		reasons = append(reasons, v1beta1.SupportReason{
			Clause: string(r.clause), Reason: r.reason, Answer: r.answer, Evidence: found.evidence, Next: next,
		})
	}
	slices.SortStableFunc(reasons, func(a, b v1beta1.SupportReason) int { return rank[b.Answer] - rank[a.Answer] })
	triage := v1beta1.SupportTriage{Time: metav1.NewTime(now.Truncate(time.Second)), Reasons: reasons}
	if len(reasons) > 0 {
		triage.Answer = reasons[0].Answer
	}
	// What is refused is not covered in another way besides.
	if triage.Answer == v1beta1.AnswerOutOfScope {
		triage.Reasons = slices.DeleteFunc(reasons, func(r v1beta1.SupportReason) bool { return r.Answer == v1beta1.AnswerInScope })
	}
	return triage
}
