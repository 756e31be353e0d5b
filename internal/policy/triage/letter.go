package triage

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// headings say an answer to people.
var headings = map[v1beta1.SupportAnswer]string{
	v1beta1.AnswerInScope:       "In scope of support",
	v1beta1.AnswerBestEffort:    "Supported as best effort",
	v1beta1.AnswerBusinessHours: "Supported as best effort, in business hours",
	v1beta1.AnswerCustomersPart: "Something is for you to do first",
	v1beta1.AnswerOutOfScope:    "Out of scope of support",
}

// afterUpgrade says what becomes of a workaround.
var afterUpgrade = map[string]string{"Kept": "the workaround stays", "Lost": "do the workaround again"}

// Heading says an answer in a few words.
func Heading(answer v1beta1.SupportAnswer) string { return headings[answer] }

// Letter is what the customer is told: the decision with its clause, evidence and next
// step, then what else holds.
func Letter(triage v1beta1.SupportTriage) (subject, body string) {
	var out strings.Builder
	for i, reason := range triage.Reasons {
		if i == 1 {
			out.WriteString("\nThis was found as well:\n\n")
		}
		fmt.Fprintf(&out, "%s. Clause %s.\nFound: %s.\nNext: %s\n", headings[reason.Answer], reason.Clause, reason.Evidence, reason.Next)
	}
	for i, issue := range triage.KnownIssues {
		if i == 0 {
			out.WriteString("\nKnown issues that it may be about (M1):\n")
		}
		fmt.Fprintf(&out, "\n%s (%s). Found: %s.\n", issue.Title, issue.Name, issue.Evidence)
		for _, line := range []struct{ name, said string }{
			{"Workaround", issue.Workaround}, {"After an upgrade", afterUpgrade[issue.AfterUpgrade]}, {"Timeline", issue.Timeline},
			{"Fixed in", issue.FixedIn}, {"Upstream", strings.Join(issue.Links, " ")},
		} {
			if line.said != "" {
				fmt.Fprintf(&out, "%s: %s\n", line.name, line.said)
			}
		}
	}
	out.WriteString("\nThe clauses are in docs/support-policy.md. Once something has changed, ask for the triage again.")
	return headings[triage.Answer], out.String()
}
