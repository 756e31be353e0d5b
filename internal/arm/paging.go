package arm

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPage is how many items one answer carries at most.
const maxPage = 100

// Item is one element of a list; Key orders the list and is unique in it.
type Item struct {
	Key  string
	Body any
}

// List is a page of a list.
type List struct {
	Value    []any  `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// Page answers the part of a list that $top and $skiptoken ask for. The link to
// the next part is absolute and keeps the query.
func (s *Server) Page(r *Request, items []Item) (*Response, error) {
	size, after, err := r.page()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Key, b.Key) })
	start, found := slices.BinarySearchFunc(items, after, func(item Item, key string) int { return strings.Compare(item.Key, key) })
	if found {
		start++
	}
	page := List{Value: []any{}}
	for _, item := range items[start:min(start+size, len(items))] {
		page.Value = append(page.Value, item.Body)
	}
	if start+size < len(items) {
		page.NextLink = s.nextLink(r, items[start+size-1].Key)
	}
	return OK(page)
}

func (r *Request) page() (size int, after string, err error) {
	size = maxPage
	if top := r.Query("$top"); top != "" {
		asked, convErr := strconv.Atoi(top)
		if convErr != nil || asked < 1 {
			return 0, "", InvalidParameter("$top", "The value of query parameter $top is invalid. It must be a whole number of at least 1.")
		}
		size = min(asked, maxPage)
	}
	if token := r.Query("$skiptoken"); token != "" {
		raw, decodeErr := base64.RawURLEncoding.DecodeString(token)
		if decodeErr != nil {
			return 0, "", InvalidParameter("$skiptoken", "The value of query parameter $skiptoken is invalid. Follow nextLink as it is.")
		}
		after = string(raw)
	}
	return size, after, nil
}

func (s *Server) nextLink(r *Request, last string) string {
	query := url.Values{}
	for key, values := range r.query {
		if !strings.EqualFold(key, "$skiptoken") {
			query[key] = values
		}
	}
	query.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(last)))
	return s.PublicURL + r.URL.EscapedPath() + "?" + query.Encode()
}
