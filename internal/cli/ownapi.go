package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// ownVersion is the api-version in which what AKS does not have is asked for.
const ownVersion = "2026-04-01"

// call is a request for what the SDK does not know.
type call struct {
	method, version string
	// wanted are the statuses of an answer that is no error.
	wanted []int
	// body is sent as JSON; nil sends none.
	body any
	// path is below the subscription; its parts are escaped.
	path []string
}

// ask sends a request without a body, in Berth's own api-version.
func (c *clients) ask(ctx context.Context, method string, wanted []int, path ...string) (*http.Response, error) {
	return c.send(ctx, call{method: method, version: ownVersion, wanted: wanted, path: path})
}

// send returns an answer with one of the wanted statuses.
func (c *clients) send(ctx context.Context, call call) (*http.Response, error) {
	escaped := make([]string, 0, len(call.path))
	for _, part := range call.path {
		escaped = append(escaped, url.PathEscape(part))
	}
	request, err := runtime.NewRequest(ctx, call.method, runtime.JoinPaths(c.own.Endpoint(), "subscriptions", url.PathEscape(c.subscription), strings.Join(escaped, "/")))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Raw().URL.RawQuery = url.Values{"api-version": {call.version}}.Encode()
	request.Raw().Header.Set("Accept", "application/json")
	if call.body != nil {
		if err := runtime.MarshalAsJSON(request, call.body); err != nil {
			return nil, fmt.Errorf("make request: %w", err)
		}
	}
	response, err := c.own.Pipeline().Do(request)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(response, call.wanted...) {
		return nil, runtime.NewResponseError(response)
	}
	return response, nil
}

// begin asks for something that takes its time.
func (c *clients) begin(ctx context.Context, method string, path ...string) (*runtime.Poller[struct{}], error) {
	response, err := c.ask(ctx, method, []int{http.StatusOK, http.StatusCreated, http.StatusAccepted}, path...)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return runtime.NewPoller[struct{}](response, c.own.Pipeline(), nil)
}

// listed is one page of a list.
type listed[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink"`
}

// listOwn reads all pages of a list in Berth's own api-version.
func listOwn[T any](ctx context.Context, c *clients, path ...string) ([]T, error) {
	return listAt[T](ctx, c, ownVersion, path...)
}

// listAt reads all pages of a list in an api-version.
func listAt[T any](ctx context.Context, c *clients, version string, path ...string) ([]T, error) {
	response, err := c.send(ctx, call{method: http.MethodGet, version: version, wanted: []int{http.StatusOK}, path: path})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var page listed[T]
	if err := runtime.UnmarshalAsJSON(response, &page); err != nil {
		return nil, err
	}
	all := page.Value
	for page.NextLink != "" {
		next, err := nextPage[T](ctx, c, page.NextLink)
		if err != nil {
			return nil, err
		}
		all, page = append(all, next.Value...), next
	}
	return all, nil
}

func nextPage[T any](ctx context.Context, c *clients, link string) (page listed[T], err error) {
	request, err := runtime.NewRequest(ctx, http.MethodGet, link)
	if err != nil {
		return page, fmt.Errorf("make request: %w", err)
	}
	response, err := c.own.Pipeline().Do(request)
	if err != nil {
		return page, err
	}
	defer response.Body.Close()
	if !runtime.HasStatusCode(response, http.StatusOK) {
		return page, runtime.NewResponseError(response)
	}
	return page, runtime.UnmarshalAsJSON(response, &page)
}
