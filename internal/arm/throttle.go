package arm

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Scope is what a limit counts by.
type Scope int

// The scopes of limits.
const (
	PerSubscription Scope = iota
	PerResourceGroup
	PerPath
)

// Limit is a token bucket: Burst calls at once, and one more each Every.
type Limit struct {
	// Handler names it to the client, such as PutManagedClusterHandler.PUT.
	Handler string
	Burst   int
	Every   time.Duration
	Scope   Scope
}

// ARM's own limits, by subscription and caller (an application or a user), and
// the headers that say how much is left.
var (
	readLimit   = Limit{Handler: "reads", Burst: 250, Every: time.Second / 25}
	writeLimit  = Limit{Handler: "writes", Burst: 200, Every: time.Second / 10}
	deleteLimit = Limit{Handler: "deletes", Burst: 200, Every: time.Second / 10}
)

// maxBuckets bounds the memory of the limits.
const maxBuckets = 20_000

// limits holds the buckets. It is safe for concurrent use.
type limits struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	*rate.Limiter
	burst int
}

func newLimits() *limits { return &limits{buckets: map[string]*bucket{}} }

// take takes one token from a bucket. It returns how many are left or, if there
// is none, how long to wait for the next.
func (l *limits) take(key string, limit Limit, now time.Time) (left int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.buckets[key]
	if !ok {
		l.makeRoom(now)
		found = &bucket{rate.NewLimiter(rate.Every(limit.Every), limit.Burst), limit.Burst}
		l.buckets[key] = found
	}
	if found.AllowN(now, 1) {
		return int(found.TokensAt(now)), 0
	}
	return 0, time.Duration((1 - found.TokensAt(now)) * float64(limit.Every))
}

// makeRoom drops buckets that are full again, which are as good as new ones, and
// if that is not enough any others.
func (l *limits) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.burst) {
			delete(l.buckets, key)
		}
	}
	for key := range l.buckets {
		if len(l.buckets) < maxBuckets {
			return
		}
		delete(l.buckets, key)
	}
}

// throttle counts the request against ARM's limits and its handler's own.
func (s *Server) throttle(header http.Header, route *Route, r *Request) error {
	limit, who := requestLimit(route), r.Caller.ObjectID
	if r.Subscription != nil {
		who += "|" + r.Subscription.Name
	}
	left, wait := s.limits.take(limit.Handler+"|"+who, limit, s.Now())
	header.Set("x-ms-ratelimit-remaining-subscription-"+limit.Handler, strconv.Itoa(left))
	if wait > 0 {
		return tooMany(wait, "SubscriptionRequestsThrottled", "The limit of "+limit.Handler+" of this subscription has been exceeded, please retry again in %d seconds")
	}
	if route.Limit == nil || r.Subscription == nil {
		return nil
	}
	if _, wait = s.limits.take(route.Limit.Handler+"|"+scopeKey(route.Limit.Scope, r), *route.Limit, s.Now()); wait > 0 {
		return tooMany(wait, "Throttled", "The "+route.Limit.Handler+" request limit has been exceeded for SubID="+r.Subscription.Name+", please retry again in %d seconds")
	}
	return nil
}

func requestLimit(route *Route) Limit {
	switch {
	case !route.writes():
		return readLimit
	case route.Method == http.MethodDelete:
		return deleteLimit
	default:
		return writeLimit
	}
}

func scopeKey(scope Scope, r *Request) string {
	switch scope {
	case PerPath:
		return strings.ToLower(strings.Join(split(r.URL.Path), "/"))
	case PerResourceGroup:
		return r.Subscription.Name + "/" + strings.ToLower(r.Parameter("group"))
	default:
		return r.Subscription.Name
	}
}

func tooMany(wait time.Duration, code, format string) *Error {
	seconds := int(math.Ceil(wait.Seconds()))
	e := Errorf(http.StatusTooManyRequests, code, format, seconds)
	e.Header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return e
}
