package access

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

// ConsentStands says whether a ticket consents to anything at a time: what has come to its
// end is no consent, though the ticket still has it (C7).
func ConsentStands(ticket *v1beta1.SupportTicketSpec, now time.Time) bool {
	consent := ticket.Consent
	over := consent != nil && consent.Expires != nil && !now.Before(consent.Expires.Time)
	return ticket.AdvancedDiagnosticConsent && !over
}
