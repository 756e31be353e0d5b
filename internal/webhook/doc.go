// Package webhook sends events to endpoints of customers: over TLS alone, signed, to
// addresses that customers may reach, and never longer than a bound. It knows HTTP and no
// kinds of Berth (CloudEvents: http-webhook; Standard Webhooks).
package webhook
