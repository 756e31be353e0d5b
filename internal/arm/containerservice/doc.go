// Package containerservice serves Microsoft.ContainerService: managed clusters,
// their agent pools, machines, versions and credentials, and the operations that
// change them. A write is checked by package policy, handed to package operation
// and answered at once; controllers do the rest.
package containerservice
