package supportaccess

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/access"
)

// Prefix is where the front is served; what follows is the subscription, the access and
// the path of the API server.
const Prefix = "/supportAccess/"

// Path is the path below which an access's API server is reached.
func Path(subscription, name string) string { return Prefix + subscription + "/" + name }

// Config is what a Front needs.
type Config struct {
	// Client writes the record; Reader never reads from a cache: a consent that was
	// withdrawn must be known at once.
	Client client.Client
	Reader client.Reader
	// Backends reach the API servers; nil means those of Berth's control planes.
	Backends Backends
	// Engineer says whether there is an engineer of that name; nil takes all for one.
	Engineer func(name string) bool
	Now      func() time.Time
	Log      *slog.Logger
}

// Front answers support's requests to API servers. It is safe for concurrent use.
type Front struct {
	Config
	streams *streams
	records *records
	reached *reached
	guesses *throttle
}

// New makes a front. Reader and Client are required.
func New(config Config) *Front {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Engineer == nil {
		config.Engineer = func(string) bool { return true }
	}
	if config.Backends == nil {
		config.Backends = ControlPlanes{Reader: config.Reader, Now: config.Now}
	}
	return &Front{Config: config, streams: newStreams(), records: newRecords(config), reached: newReached(config), guesses: newThrottle()}
}

// Serves says whether a request is for the front.
func Serves(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, Prefix) }

// tokenLength is that of a credential, in characters.
const tokenLength = 60

// NewToken draws a credential, and what is kept of it. It has 240 random bits, so that
// its plain hash tells nothing.
func NewToken() (token, kept string) {
	raw := make([]byte, tokenLength/2)
	rand.Read(raw)
	token = hex.EncodeToString(raw)
	return token, hashed(token)
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// visit is one request on its way.
type visit struct {
	access *v1beta1.SupportAccess
	// target is what is asked of the API server.
	target *url.URL
	asked  access.Request
	// readable is false for what may be read in another way there.
	readable bool
	entry    v1beta1.SupportRequest
	book     *book
	evidence access.Evidence
}

// ServeHTTP judges a request, writes it down and sends it on.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, rest, ok := locate(r)
	if !ok {
		refuse(w, apierrors.NewUnauthorized("the address is none of an access of support"))
		return
	}
	// The stream is there before it is judged: what changes after that cuts it.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer f.streams.add(key, stream{hashed(credential(r)), cancel})()
	v, refusal := f.judge(ctx, r, key, rest)
	if refusal != nil {
		level := slog.LevelWarn
		if refusal.Status().Code == http.StatusTooManyRequests {
			level = slog.LevelDebug // as often as somebody likes
		}
		f.Log.Log(ctx, level, "support refused", "access", key.Name, "reason", refusal.Status().Message)
		refuse(w, refusal)
		return
	}
	ctx, release := context.WithDeadline(ctx, time.Now().Add(access.Until(v.evidence).Sub(f.Now())))
	defer release()
	f.forward(w, r.WithContext(ctx), v)
}

// guid is what subscriptions and accesses are named by: whoever sends anything else has
// no access, and costs no look.
var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// locate reads whose access a request is for, and what of the API server, as it was sent.
func locate(r *http.Request) (client.ObjectKey, *url.URL, bool) {
	path, found := strings.CutPrefix(r.URL.EscapedPath(), Prefix)
	parts := strings.SplitN(path, "/", 3)
	if !found || len(parts) < 3 || !guid.MatchString(strings.ToLower(parts[0])) || !guid.MatchString(parts[1]) {
		return client.ObjectKey{}, nil, false
	}
	rest := &url.URL{RawPath: "/" + parts[2], RawQuery: r.URL.RawQuery}
	var err error
	if rest.Path, err = url.PathUnescape(rest.RawPath); err != nil {
		return client.ObjectKey{}, nil, false
	}
	return client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(parts[0]), Name: parts[1]}, rest, true
}

// judge finds out whether a request is let through by what is stored now.
func (f *Front) judge(ctx context.Context, r *http.Request, key client.ObjectKey, target *url.URL) (*visit, *apierrors.StatusError) {
	unknown := apierrors.NewUnauthorized("the credential is of no access of support")
	address, kept := sourceIP(r), hashed(credential(r))
	if wait := f.guesses.take(address, kept, f.Now()); wait > 0 {
		return nil, apierrors.NewTooManyRequests("too many credentials from this address are of no access of support", int(wait/time.Second)+1)
	}
	found, err := f.bearer(ctx, r, key)
	f.guesses.tell(address, kept, found != nil, err == nil, f.Now())
	if err != nil {
		return nil, f.failed(ctx, "read access", err)
	}
	if found == nil {
		return nil, unknown
	}
	if !f.Engineer(found.Spec.Engineer) {
		return nil, unknown
	}
	v := &visit{access: found, target: target}
	if v.evidence, err = Gather(ctx, f.Reader, found); err != nil {
		return nil, f.failed(ctx, "read what an access depends on", err)
	}
	v.asked, v.readable = access.ParseRequest(r.Method, target, r.Header.Get("Upgrade") != "")
	v.entry = f.entry(r, v)
	if why := f.over(v); why != "" {
		v.refuse(why)
		f.records.late(ctx, found, v.entry)
		return nil, forbidden("%s", why)
	}
	if refused := f.rights(v); refused != "" {
		v.refuse(refused)
	}
	v.book, err = f.records.begin(ctx, v.access, v.entry)
	var full *fullError
	if errors.As(err, &full) {
		return nil, apierrors.NewTooManyRequestsError(full.Error())
	}
	if err != nil {
		return nil, f.failed(ctx, "record a request", err)
	}
	if v.entry.Refused != "" {
		return nil, forbidden("%s", v.entry.Refused)
	}
	return v, f.own(ctx, v)
}

// over says why the access of a request has ended, empty if it stands.
func (f *Front) over(v *visit) string {
	clause, message := v.access.Status.Clause, v.access.Status.Message
	if v.access.Status.Ended == nil {
		end := access.Decide(v.evidence, f.Now())
		if end == nil {
			return ""
		}
		clause, message = string(end.Clause), end.Message
	}
	return fmt.Sprintf("%s (support policy %s): %s", hasEnded, clause, message)
}

// hasEnded is how refusals begin of requests that came after the end of an access.
const hasEnded = "the access has ended"

// refuse has the record say why a request went no further.
func (v *visit) refuse(why string) {
	v.entry.Refused, v.entry.Code, v.entry.Ended = clip(why, 512), http.StatusForbidden, &v.entry.Time
}

// rights says why a request is nothing that the access is for, empty if it is.
func (f *Front) rights(v *visit) string {
	if !v.readable {
		return "the request is not of a form that support uses: its path may be read in more than one way"
	}
	_, why := access.Allowed(v.access.Spec.Scopes, v.asked)
	return why
}

// credential is what a request has for one, empty if it has nothing of that form.
func credential(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || len(token) != tokenLength {
		return ""
	}
	return token
}

// bearer finds the access that a credential is of, nil if it is of none.
func (f *Front) bearer(ctx context.Context, r *http.Request, key client.ObjectKey) (*v1beta1.SupportAccess, error) {
	token := credential(r)
	if token == "" {
		return nil, nil
	}
	var found v1beta1.SupportAccess
	err := f.Reader.Get(ctx, key, &found)
	// What is no name is no access either.
	missing := apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) || apierrors.IsInvalid(err)
	if err != nil && !missing {
		return nil, err
	}
	if missing || found.Spec.Token == "" || subtle.ConstantTimeCompare([]byte(found.Spec.Token), []byte(hashed(token))) != 1 {
		return nil, nil
	}
	return &found, nil
}

// maxName is in bytes: the API server takes no longer name.
const maxName = 253

// entry is what is written down of a request. All of it is bounded, so that nobody can
// make a page too large to be stored.
func (f *Front) entry(r *http.Request, v *visit) v1beta1.SupportRequest {
	uri := v.target.RequestURI()
	entry := v1beta1.SupportRequest{
		ID: newAuditID(), Time: metav1.NewMicroTime(f.Now().UTC()), Engineer: v.access.Spec.Engineer, Verb: v.asked.Verb,
		URI: clip(uri, 512), UserAgent: clip(r.UserAgent(), 128), SourceIP: sourceIP(r),
	}
	if v.readable {
		entry.Resource, entry.Namespace, entry.Name = clip(v.asked.FullResource(), maxName), clip(v.asked.Namespace, maxName), clip(v.asked.Name, maxName)
	}
	if entry.Verb == "" {
		entry.Verb = strings.ToLower(clip(r.Method, 16))
	}
	return entry
}

// forward sends a request on and copies the answer, or the stream, both ways.
func (f *Front) forward(w http.ResponseWriter, r *http.Request, v *visit) {
	var code atomic.Int32
	defer func() { v.book.finish(v.entry.ID, code.Load(), f.Now()) }()
	backend, err := f.reached.to(r.Context(), v)
	if err != nil {
		code.Store(http.StatusServiceUnavailable)
		refuse(w, f.failed(r.Context(), "reach the cluster", err))
		return
	}
	proxy := &httputil.ReverseProxy{
		Transport:     backend.transport,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(f.Log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "https", Host: backend.address, Path: v.target.Path, RawQuery: v.target.RawQuery}
			p.Out.Host = backend.address
			strip(p.Out.Header)
			p.Out.Header.Set("Audit-ID", v.entry.ID)
		},
		ModifyResponse: func(answer *http.Response) error {
			code.Store(int32(answer.StatusCode)) //nolint:gosec // three digits
			if leadsAway(answer) {
				return errElsewhere
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, errElsewhere) {
				refuse(w, elsewhere())
				return
			}
			answer := f.failed(r.Context(), "ask the cluster", err)
			code.CompareAndSwap(0, answer.ErrStatus.Code)
			refuse(w, answer)
		},
	}
	proxy.ServeHTTP(cuttable{w, r.Context()}, r)
}

var errElsewhere = errors.New("the answer leads elsewhere")

// leadsAway says whether a client would follow an answer, with its credential: a node, or
// whoever else answers by the API server, may name any host. 304 says that nothing changed.
func leadsAway(answer *http.Response) bool {
	return answer.StatusCode >= 300 && answer.StatusCode < 400 && answer.StatusCode != http.StatusNotModified
}

func elsewhere() *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadGateway, Reason: metav1.StatusReasonUnknown,
		Message: "the cluster's answer leads to another address, where support is not sent; a directory of a node's logs has a slash at its end",
	}}
}

// strip takes from a request by what its sender could be taken for somebody else, or for
// somewhere else; the proxy takes X-Forwarded-For.
func strip(header http.Header) {
	for name := range header {
		lower := strings.ToLower(name)
		if slices.Contains([]string{"authorization", "cookie", "audit-id", "x-real-ip"}, lower) || strings.HasPrefix(lower, "impersonate-") || strings.HasPrefix(lower, "x-remote-") {
			header.Del(name)
		}
	}
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// clip keeps what a client sends short and printable.
func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

func newAuditID() string {
	var raw [16]byte
	rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

func forbidden(format string, args ...any) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: fmt.Sprintf(format, args...),
	}}
}

// failed tells the log what failed, and the engineer that something did. What was cut on
// its way is no failure.
func (f *Front) failed(ctx context.Context, what string, err error) *apierrors.StatusError {
	if ctx.Err() != nil {
		return forbidden("the access ended while the request was on its way (support policy C7)")
	}
	f.Log.Error("support not served", "step", what, "error", err)
	return apierrors.NewServiceUnavailable("the cluster cannot be reached for support at this moment")
}

// refuse answers as an API server does, so that kubectl shows the message.
func refuse(w http.ResponseWriter, e *apierrors.StatusError) {
	status := e.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if status.Code == http.StatusUnauthorized {
		w.Header().Set("Www-Authenticate", "Bearer")
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}
