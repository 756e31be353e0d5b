package eventgrid

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/event"
)

// sent is a request with a body.
type sent []byte

// Decode implements decoder.
func (s sent) Decode(into any) error { return arm.DecodeBody(s, into) }

// FuzzParseBody holds whatever is sent to what is promised of it: what is taken has an
// endpoint over TLS and shows nothing of its query.
func FuzzParseBody(f *testing.F) {
	for _, seed := range []string{
		`{"properties": {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": "https://h/p?code=secret"}}, "eventDeliverySchema": "CloudEventSchemaV1_0"}}`,
		`{"properties": {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": "https://h/%3F?x"}}, "eventDeliverySchema": "CloudEventSchemaV1_0", "filter": {"includedEventTypes": [null]}, "expirationTimeUtc": "2027-01-01T00:00:00.000Z"}}`,
		`{"properties": {"destination": {"endpointType": "EventHub"}}}`, `{"properties": {"retryPolicy": {"maxDeliveryAttempts": 1e99}}}`, `{}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		spec, url, err := parseBody(sent(body))
		if err != nil {
			return
		}
		base, refused := event.Endpoint(url)
		if refused != nil || base != spec.EndpointBaseURL || !strings.HasPrefix(base, "https://") || strings.Contains(base, "?") {
			t.Errorf("%q of %q: %v", base, url, refused)
		}
		event.Validate(spec, time.Unix(0, 0))
	})
}
