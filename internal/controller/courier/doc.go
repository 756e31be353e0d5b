// Package courier tells event subscriptions what the activity log has. The publisher makes
// an EventDelivery of each entry for each event subscription that wants it; the courier
// sends these and tries again. Both may be killed at any line: an entry is marked after its
// deliveries are there, and a delivery is there until it arrived
// (docs/decisions/0019-events.md).
package courier
