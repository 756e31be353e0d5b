package supervise

import (
	"slices"
	"sync"
	"time"
)

// startsKept is how many starts of a process are remembered.
const startsKept = 32

// Health is how a service has been of late.
type Health struct {
	// UnwellSince is since when the process is down or fails its checks; zero while it
	// is healthy, and before it was started.
	UnwellSince time.Time
	// Why is what the last check said, or how the process ended.
	Why string
	// Starts are the newest times at which it was started, oldest first.
	Starts []time.Time
}

// chart keeps a service's Health.
type chart struct {
	mu     sync.Mutex
	health Health
}

func (c *chart) started(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	starts := append(c.health.Starts, now)
	c.health.Starts = starts[max(0, len(starts)-startsKept):]
	if c.health.UnwellSince.IsZero() {
		c.health.UnwellSince, c.health.Why = now, "it is starting"
	}
}

func (c *chart) unwell(now time.Time, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.Why = why
	if c.health.UnwellSince.IsZero() {
		c.health.UnwellSince = now
	}
}

func (c *chart) well() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.UnwellSince, c.health.Why = time.Time{}, ""
}

// Condition tells how the service has been of late.
func (s *Service) Condition() Health {
	s.chart.mu.Lock()
	defer s.chart.mu.Unlock()
	health := s.chart.health
	health.Starts = slices.Clone(health.Starts)
	return health
}
