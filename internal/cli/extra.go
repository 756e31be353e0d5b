package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
)

// extraKey holds in a context the settings that withUpgradeSettings adds.
type extraKey struct{}

// withUpgradeSettings makes the next PUT of a pool carry upgradeSettings that the SDK's
// api-version does not have.
func withUpgradeSettings(ctx context.Context, settings map[string]any) context.Context {
	if len(settings) == 0 {
		return ctx
	}
	return context.WithValue(ctx, extraKey{}, settings)
}

// extraPolicy adds what withUpgradeSettings asked for to the body of a PUT.
type extraPolicy struct{}

// Do implements policy.Policy.
func (extraPolicy) Do(request *policy.Request) (*http.Response, error) {
	raw := request.Raw()
	settings, ok := raw.Context().Value(extraKey{}).(map[string]any)
	if !ok || raw.Method != http.MethodPut {
		return request.Next()
	}
	var body struct {
		Properties map[string]any `json:"properties"`
	}
	text, err := io.ReadAll(request.Body())
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	merged, ok := body.Properties["upgradeSettings"].(map[string]any)
	if !ok {
		merged = map[string]any{}
	}
	for key, value := range settings {
		merged[key] = value
	}
	body.Properties["upgradeSettings"] = merged
	if text, err = json.Marshal(body); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if err := request.SetBody(streaming.NopCloser(bytes.NewReader(text)), "application/json"); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	return request.Next()
}

// answer reads into a value what a call of the SDK was answered, with the fields that
// the SDK does not know.
func answer(ctx context.Context, into any, call func(context.Context) error) error {
	var response *http.Response
	if err := call(policy.WithCaptureResponse(ctx, &response)); err != nil {
		return err
	}
	raw, err := runtime.Payload(response)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}
