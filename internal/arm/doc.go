// Package arm speaks Azure Resource Manager's wire: paths without case,
// api-versions, tokens on every call, request ids, error bodies, ETags, paging,
// throttling and asynchronous operations. What the resources are is told by the
// provider packages below it; they hand in routes and get requests that have
// already passed all of this.
package arm
