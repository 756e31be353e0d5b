package event

import (
	"net/http"
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// The defaults and limits of a retry policy (Azure: delivery-and-retry).
const (
	DefaultAttempts = 30
	DefaultTTL      = 24 * time.Hour
)

// The limits that keep events from filling the management cluster.
const (
	// MaxSubscriptions is how many event subscriptions an Azure subscription can have.
	MaxSubscriptions = 50
	// MaxPending is how many events wait for one event subscription; the oldest goes first.
	MaxPending = 250
)

// Timeout is how long an endpoint may take to answer (Azure: delivery-and-retry).
const Timeout = 30 * time.Second

// delays are the times between attempts; the last one repeats (Azure: delivery-and-retry).
var delays = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// maxPause bounds for how long an endpoint is left alone that does not answer: one that is
// there again is found soon, and one that hangs takes little of the courier's time.
const maxPause = 5 * time.Minute

// answer is what a status says.
type answer struct {
	status        int
	done, dropped bool
	// atLeast is how long the next attempt waits.
	atLeast time.Duration
}

// codes are the answers that mean something of their own. Other codes below 200 and above
// 204, and no answer at all, are failures that are tried again.
var codes = []answer{
	{status: http.StatusOK, done: true},
	{status: http.StatusCreated, done: true},
	{status: http.StatusAccepted, done: true},
	{status: http.StatusNonAuthoritativeInfo, done: true},
	{status: http.StatusNoContent, done: true},
	{status: http.StatusBadRequest, dropped: true},
	{status: http.StatusUnauthorized, dropped: true},
	{status: http.StatusForbidden, dropped: true},
	{status: http.StatusRequestEntityTooLarge, dropped: true},
	{status: http.StatusNotFound, atLeast: 5 * time.Minute},
	{status: http.StatusRequestTimeout, atLeast: 2 * time.Minute},
	{status: http.StatusServiceUnavailable, atLeast: 30 * time.Second},
}

// The reasons for which an event is given up.
const (
	DropRefused  = "Refused"
	DropAttempts = "MaxDeliveryAttemptsExceeded"
	DropExpired  = "TimeToLiveExceeded"
	DropTooMany  = "TooManyPending"
)

// Step is what becomes of a delivery after an attempt.
type Step struct {
	// Done says that it arrived.
	Done bool
	// Drop is why it is given up, empty if it is not.
	Drop string
	// Next is when it is tried again.
	Next time.Time
}

// After reads the table for an attempt, the attempts-th, that was answered with an HTTP
// status, or 0 if there was none.
func After(status int, attempts int32, policy v1beta1.EventRetryPolicy, now time.Time) Step {
	at := min(max(int(attempts), 1), len(delays)) - 1
	wait := delays[at]
	if i := slices.IndexFunc(codes, func(a answer) bool { return a.status == status }); i >= 0 {
		switch {
		case codes[i].done:
			return Step{Done: true}
		case codes[i].dropped:
			return Step{Drop: DropRefused}
		}
		wait = max(wait, codes[i].atLeast)
	}
	if attempts >= Attempts(policy) {
		return Step{Drop: DropAttempts}
	}
	return Step{Next: now.Add(wait)}
}

// Pause is how long an endpoint is left alone after failures in a row.
func Pause(failures int32) time.Duration {
	return min(delays[min(max(int(failures), 1), len(delays))-1], maxPause)
}

// Attempts is how often an event is tried.
func Attempts(policy v1beta1.EventRetryPolicy) int32 {
	if policy.MaxDeliveryAttempts == 0 {
		return DefaultAttempts
	}
	return policy.MaxDeliveryAttempts
}

// TTL is how long an event is tried.
func TTL(policy v1beta1.EventRetryPolicy) time.Duration {
	if policy.EventTimeToLiveInMinutes == 0 {
		return DefaultTTL
	}
	return time.Duration(policy.EventTimeToLiveInMinutes) * time.Minute
}
