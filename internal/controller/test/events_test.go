package test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy/event"
	"berth.dev/berth/internal/webhook"
)

// receiver is a customer's endpoint.
type receiver struct {
	server *httptest.Server
	key    string

	mu sync.Mutex
	// answer is the status of an attempt, the nth in all; nil answers 200.
	answer func(n int) int
	// hang, until it is closed, holds answers up.
	hang    chan struct{}
	asked   int
	arrived map[string]int
	forged  int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{key: webhook.NewKey(), arrived: map[string]int{}}
	r.server = httptest.NewTLSServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var told struct{ ID, Subject string }
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.key, "whsec_"))
	mac := hmac.New(sha256.New, raw)
	fmt.Fprintf(mac, "%s.%s.%s", request.Header.Get("Webhook-Id"), request.Header.Get("Webhook-Timestamp"), body)
	r.mu.Lock()
	r.asked++
	status, hang := http.StatusOK, r.hang
	if r.answer != nil {
		status = r.answer(r.asked)
	}
	if json.Unmarshal(body, &told) != nil || told.ID != request.Header.Get("Webhook-Id") || request.URL.RawQuery != "code=secret" ||
		!strings.Contains(request.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
		r.forged++
	}
	r.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if status < 300 {
		r.mu.Lock()
		r.arrived[told.Subject]++
		r.mu.Unlock()
	}
	w.WriteHeader(status)
}

// got are the subjects that arrived.
func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for subject := range r.arrived {
		all = append(all, subject[strings.LastIndexByte(subject, '/')+1:])
	}
	slices.Sort(all)
	return all
}

func (r *receiver) set(answer func(n int) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

const eventScope = "/subscriptions/" + subscription

// listen has the events of the subscription sent to a receiver, as the ARM handlers do.
func (w *world) listen(name string, to *receiver, change func(*v1beta1.EventSubscriptionSpec)) *v1beta1.EventSubscription {
	w.t.Helper()
	made := &v1beta1.EventSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: v1beta1.EventSubscriptionObjectName(eventScope, name)},
		Spec:       v1beta1.EventSubscriptionSpec{Name: name, Scope: eventScope, EndpointBaseURL: to.server.URL + "/hook"},
	}
	if change != nil {
		change(&made.Spec)
	}
	if err := w.client.Create(w.t.Context(), made); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx := context.WithoutCancel(w.t.Context())
		if err := w.client.DeleteAllOf(ctx, &v1beta1.EventDelivery{}, client.InNamespace(w.namespace)); err != nil {
			w.t.Error(err)
		}
		for _, object := range []client.Object{made, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: made.Namespace, Name: made.Name}}} {
			if err := w.client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				w.t.Error(err)
			}
		}
	})
	w.ensure(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: made.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: v1beta1.GroupVersion.String(), Kind: "EventSubscription", Name: made.Name, UID: made.UID}}},
		StringData: map[string]string{v1beta1.EndpointURL: to.server.URL + "/hook?code=secret", v1beta1.SigningKey1: webhook.NewKey(), v1beta1.SigningKey2: to.key},
	})
	return made
}

// trust has Berth reach receivers on this host.
func (w *world) trust(receivers ...*receiver) {
	w.t.Helper()
	var bundle []byte
	for _, r := range receivers {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})...)
	}
	w.servicePolicy(v1beta1.ServicePolicySpec{Webhooks: &v1beta1.WebhookPolicy{AllowedRanges: []string{"127.0.0.0/8"}, CABundle: string(bundle)}})
}

// act is a request that was answered at once. Its name is its resource's.
func (w *world) act(name string) {
	w.t.Helper()
	log := activity.Log{Client: w.client, Now: w.now, Log: slog.New(slog.DiscardHandler)}
	entry := log.Begin(w.t.Context(), w.namespace, name, v1beta1.ActivitySpec{
		Operation: "Microsoft.Resources/subscriptions/resourceGroups/write", ResourceID: eventScope + "/resourceGroups/" + name,
		Caller: "test", Request: &v1beta1.ActivityRequest{Method: "PUT"},
	})
	if entry == nil {
		w.t.Fatal("no entry was written")
	}
	log.Answer(w.t.Context(), entry, v1beta1.ActivitySucceeded, http.StatusOK, nil)
}

// wake moves the courier's clock and has it look.
func (w *world) wake(by time.Duration, of *v1beta1.EventSubscription) {
	w.t.Helper()
	w.ahead.Add(int64(by))
	patch := client.RawPatch("application/merge-patch+json", []byte(fmt.Sprintf(`{"metadata":{"annotations":{"test":"%d"}}}`, w.ahead.Load())))
	// One that has expired may be gone already.
	if err := w.client.Patch(w.t.Context(), of.DeepCopy(), patch); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventStatus(of *v1beta1.EventSubscription) v1beta1.EventSubscriptionStatus {
	w.t.Helper()
	var now v1beta1.EventSubscription
	if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(of), &now); err != nil {
		w.t.Fatal(err)
	}
	return now.Status
}

// What happens arrives at each endpoint that is there, whatever the others do: one hangs,
// one fails for a while, and one refuses for good.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	good, hangs, fails, refuses := newReceiver(t), newReceiver(t), newReceiver(t), newReceiver(t)
	hangs.hang = make(chan struct{})
	release := sync.OnceFunc(func() { close(hangs.hang) })
	t.Cleanup(release)
	fails.answer = func(int) int { return http.StatusInternalServerError }
	refuses.answer = func(int) int { return http.StatusForbidden }
	w.trust(good, hangs, fails, refuses)
	w.start(w.nextGuard())
	w.act("before")
	second := time.Now().Unix()
	w.until("what was before is older", func() bool { return time.Now().Unix() > second })
	some := w.listen("good", good, func(s *v1beta1.EventSubscriptionSpec) { s.Filter.SubjectBeginsWith = eventScope + "/resourcegroups/A" })
	w.listen("hangs", hangs, nil)
	failing := w.listen("fails", fails, func(s *v1beta1.EventSubscriptionSpec) { s.RetryPolicy.MaxDeliveryAttempts = 2 })
	refusing := w.listen("refuses", refuses, nil)
	for _, name := range []string{"a1", "a2", "b1"} {
		w.act(name)
	}
	w.eventually("what is wanted arrives", func() bool { return slices.Equal(good.got(), []string{"a1", "a2"}) })
	w.eventually("what is refused is given up", func() bool { return w.eventStatus(refusing).Dropped == 3 })
	w.eventually("that is in the log", func() bool { return w.told(event.ReasonDropped) > 0 })
	if !meta.IsStatusConditionTrue(w.eventStatus(some).Conditions, v1beta1.ConditionDelivering) || refuses.asked != 3 {
		t.Errorf("good: %+v; refuses was asked %d times", w.eventStatus(some), refuses.asked)
	}
	w.eventually("a failure is noted", func() bool { return w.eventStatus(failing).Failures == 1 })

	// The endpoint is left alone, and found again when its time has come.
	if status := w.eventStatus(failing); status.PausedUntil == nil || !meta.IsStatusConditionFalse(status.Conditions, v1beta1.ConditionDelivering) {
		t.Errorf("fails: %+v", status)
	}
	fails.set(nil)
	w.wake(time.Minute, failing)
	w.eventually("the endpoint is there again", func() bool { return slices.Equal(fails.got(), []string{"a1", "a2", "b1"}) })
	w.eventually("that is noted", func() bool { s := w.eventStatus(failing); return s.Failures == 0 && s.PausedUntil == nil })

	// What fails as often as it may is given up.
	fails.set(func(int) int { return http.StatusBadGateway })
	w.act("c1")
	w.eventually("the first attempt failed", func() bool { return w.eventStatus(failing).Failures == 1 })
	w.wake(time.Hour, failing)
	w.eventually("the last attempt failed", func() bool { return w.eventStatus(failing).Dropped == 1 })
	if got := hangs.got(); len(got) > 0 {
		t.Errorf("%v arrived where it hangs", got)
	}
	release()
	w.eventually("the endpoint does not hang any more", func() bool { return slices.Equal(hangs.got(), []string{"a1", "a2", "b1", "c1"}) })
	for name, r := range map[string]*receiver{"good": good, "hangs": hangs, "fails": fails, "refuses": refuses} {
		if r.forged > 0 {
			t.Errorf("%s: %d events were not signed, or not whole", name, r.forged)
		}
	}
	if got := good.arrived; got[eventScope+"/resourceGroups/a1"] != 1 || got[eventScope+"/resourceGroups/a2"] != 1 {
		t.Errorf("without a death each event arrives once: %v", got)
	}
	w.expires(good)
}

// expires has an event subscription end.
func (w *world) expires(to *receiver) {
	w.t.Helper()
	ends := metav1.NewTime(w.now().Add(time.Hour))
	made := w.listen("expires", to, func(s *v1beta1.EventSubscriptionSpec) { s.ExpirationTime = &ends })
	w.wake(2*time.Hour, made)
	w.eventuallyGone(&v1beta1.EventSubscription{}, client.ObjectKeyFromObject(made))
}

// Berth never sends to where it may not, whatever a Secret says.
func TestEventsStayOutside(t *testing.T) {
	w := newWorld(t)
	inside := newReceiver(t)
	w.trust(inside)
	w.servicePolicy(v1beta1.ServicePolicySpec{})
	w.start(w.nextGuard())
	of := w.listen("inside", inside, nil)
	w.act("a1")
	w.eventually("the attempt failed", func() bool { return w.eventStatus(of).Failures > 0 })
	condition := meta.FindStatusCondition(w.eventStatus(of).Conditions, v1beta1.ConditionDelivering)
	if inside.asked > 0 || condition == nil || !strings.Contains(condition.Message, "not for webhooks") || strings.Contains(condition.Message, "secret") {
		t.Errorf("asked %d times, %+v", inside.asked, condition)
	}
}

// Killed after every kind of side effect, the courier loses no event: not of those that
// were written while it was dead, either.
func TestCrashDuringEvents(t *testing.T) {
	w := newWorld(t)
	to := newReceiver(t)
	const noted = "patch status EventDelivery"
	var died atomic.Bool // after an attempt was noted
	left := []string{
		"create EventDelivery", "patch status ActivityLogEntry", "delete EventDelivery", noted, "patch status EventSubscription",
		"create EventDelivery", "delete EventDelivery", "patch status ActivityLogEntry",
	}
	w.nextGuard = func() *guard {
		g := newGuard(0, w.client)
		g.killAfter = func(what string) bool {
			n := slices.IndexFunc(left, func(part string) bool { return strings.HasPrefix(what, part) })
			if n < 0 {
				return false
			}
			if left[n] == noted {
				died.Store(true)
			}
			left = slices.Delete(left, n, n+1)
			return true
		}
		return g
	}
	to.answer = func(n int) int {
		if n%2 == 0 && !died.Load() {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}
	w.trust(to)
	w.start(w.nextGuard())
	of := w.listen("all", to, nil)
	var want []string
	for i := range 12 {
		name := fmt.Sprintf("g%02d", i)
		w.act(name)
		want = append(want, name)
		w.eventually("it arrives", func() bool {
			w.wake(time.Minute, of)
			return slices.Equal(to.got(), want)
		})
	}
	w.eventually("nothing is left", func() bool {
		var list v1beta1.EventDeliveryList
		return w.client.List(t.Context(), &list, client.InNamespace(w.namespace)) == nil && len(list.Items) == 0
	})
	for _, part := range left {
		t.Errorf("no life ended after %s", part)
	}
}
