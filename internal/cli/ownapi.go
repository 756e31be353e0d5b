package cli

import (
	"context"
	"fmt"
	"math"
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
	// path is taken from the root; its parts are escaped.
	path []string
	// body is sent as JSON; nil sends none.
	body any
	// query is sent beside the api-version.
	query map[string]string
	// wanted are the statuses of a good answer.
	wanted []int
}

// of is a call on something in the subscription.
func (c *clients) of(method, version string, path ...string) call {
	return call{method: method, version: version, path: append([]string{"subscriptions", c.subscription}, path...), wanted: []int{http.StatusOK}}
}

// exchange sends a request, and returns an answer with one of the wanted statuses.
func (c *clients) exchange(ctx context.Context, asked call) (*http.Response, error) {
	escaped := make([]string, 0, len(asked.path))
	for _, part := range asked.path {
		escaped = append(escaped, url.PathEscape(part))
	}
	request, err := runtime.NewRequest(ctx, asked.method, runtime.JoinPaths(c.own.Endpoint(), strings.Join(escaped, "/")))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	query := url.Values{"api-version": {asked.version}}
	for name, value := range asked.query {
		query.Set(name, value)
	}
	request.Raw().URL.RawQuery = query.Encode()
	request.Raw().Header.Set("Accept", "application/json")
	if asked.body != nil {
		if err := runtime.MarshalAsJSON(request, asked.body); err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
	}
	response, err := c.own.Pipeline().Do(request)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(response, asked.wanted...) {
		return nil, runtime.NewResponseError(response)
	}
	return response, nil
}

// ask asks for something of Berth's own in the subscription.
func (c *clients) ask(ctx context.Context, method string, wanted []int, path ...string) (*http.Response, error) {
	asked := c.of(method, ownVersion, path...)
	asked.wanted = wanted
	return c.exchange(ctx, asked)
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

// listOwn reads all pages of a list of Berth's own.
func listOwn[T any](ctx context.Context, c *clients, path ...string) ([]T, error) {
	return listAll[T](ctx, c, c.of(http.MethodGet, ownVersion, path...))
}

// listAll reads all pages of a list.
func listAll[T any](ctx context.Context, c *clients, asked call) ([]T, error) {
	return listSome[T](ctx, c, asked, math.MaxInt)
}

// listSome reads the first items of a list, and no more pages than that takes.
func listSome[T any](ctx context.Context, c *clients, asked call, most int) ([]T, error) {
	response, err := c.exchange(ctx, asked)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var page listed[T]
	if err := runtime.UnmarshalAsJSON(response, &page); err != nil {
		return nil, err
	}
	all := page.Value
	for page.NextLink != "" && len(all) < most {
		next, err := nextPage[T](ctx, c, page.NextLink)
		if err != nil {
			return nil, err
		}
		all, page = append(all, next.Value...), next
	}
	return all[:min(most, len(all))], nil
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

// answer is the object that a request is answered with.
func (c *clients) answer(ctx context.Context, asked call) (map[string]any, error) {
	response, err := c.exchange(ctx, asked)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var object map[string]any
	return object, runtime.UnmarshalAsJSON(response, &object)
}

// remove deletes what a path names. That it is not there is no error.
func (c *clients) remove(ctx context.Context, version string, path ...string) error {
	asked := c.of(http.MethodDelete, version, path...)
	asked.wanted = []int{http.StatusOK, http.StatusNoContent}
	response, err := c.exchange(ctx, asked)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
