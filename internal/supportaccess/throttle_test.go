package supportaccess

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// Wrong credentials of an address are looked at for a while, then one after the other;
// those of another are, and right ones are, however many were wrong.
func TestThrottle(t *testing.T) {
	limit := newThrottle()
	wrong := func(address string, now time.Time) time.Duration {
		wait := limit.take(address, "wrong", now)
		if wait == 0 {
			limit.tell(address, "wrong", false, true, now)
		}
		return wait
	}
	if wait := limit.take("a", "right", noon); wait != 0 {
		t.Fatalf("a first try waits for %s", wait)
	}
	limit.tell("a", "right", true, true, noon)
	for n := range failureBurst {
		if wait := wrong("a", noon); wait != 0 {
			t.Fatalf("failure %d waits for %s", n, wait)
		}
	}
	if wait := wrong("a", noon); wait != failureRefill {
		t.Errorf("one failure too many waits for %s", wait)
	}
	if wait := wrong("b", noon); wait != 0 {
		t.Errorf("another address waits for %s", wait)
	}
	if wait := limit.take("a", "right", noon); wait != 0 {
		t.Errorf("a right credential waits for %s", wait)
	}
	limit.tell("a", "right", false, true, noon) // it was replaced
	if wait := limit.take("a", "right", noon); wait == 0 {
		t.Error("a credential that is wrong by now does not wait")
	}
	if wait := wrong("a", noon.Add(2*failureRefill)); wait != 0 {
		t.Errorf("after its time it waits for %s", wait)
	}
}

// What could not be looked up is no failure.
func TestThrottleOfWhatIsNotKnown(t *testing.T) {
	limit := newThrottle()
	for range 3 * failureBurst {
		if wait := limit.take("a", "x", noon); wait != 0 {
			t.Fatalf("it waits for %s", wait)
		}
		limit.tell("a", "x", false, false, noon)
	}
}

// Whoever sends what from wherever, memory is bounded, and who failed often stays known.
func TestThrottleIsBounded(t *testing.T) {
	limit := newThrottle()
	for range failureBurst {
		limit.take("often", "x", noon)
	}
	for n := range 3 * maxAddresses {
		limit.take(fmt.Sprint(n), "x", noon)
		limit.tell("c", fmt.Sprint(n), true, true, noon)
	}
	if len(limit.by) > maxAddresses || len(limit.right) > maxRight {
		t.Errorf("%d addresses, %d credentials", len(limit.by), len(limit.right))
	}
	if limit.take("often", "x", noon) == 0 {
		t.Error("who failed often was forgotten")
	}
}

// The front says when to come again, does not look the access up meanwhile, and serves
// the engineer whose credential it knows.
func TestGuessersWait(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	if status, _ := b.request("GET", "/api/v1/pods", nil); status != http.StatusOK {
		t.Fatalf("the engineer: %d", status)
	}
	guess := func() *httptest.ResponseRecorder {
		token, _ := NewToken()
		request := httptest.NewRequest("GET", "http://x"+Path(sub, accessName)+"/api", nil)
		request.RemoteAddr = "127.0.0.1:1"
		request.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		b.front.ServeHTTP(w, request)
		return w
	}
	for n := range failureBurst {
		if w := guess(); w.Code != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", n, w.Code)
		}
	}
	reads := b.reads.Load()
	w := guess()
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("one guess too many: %d, %v", w.Code, w.Header())
	}
	if looked := b.reads.Load() - reads; looked != 0 {
		t.Errorf("it was looked up %d times", looked)
	}
	if status, _ := b.request("GET", "/api/v1/pods", nil); status != http.StatusOK {
		t.Errorf("the engineer behind the same address: %d", status)
	}
}
