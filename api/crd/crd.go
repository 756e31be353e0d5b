// Package crd carries the CustomResourceDefinitions that `make generate` writes
// from package v1beta1.
package crd

import (
	"embed"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed *.yaml
var files embed.FS

// Manifests returns every CustomResourceDefinition of group berth.dev.
func Manifests() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list CRDs: %w", err)
	}
	manifests := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(entries))
	for _, entry := range entries {
		raw, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read CRD %s: %w", entry.Name(), err)
		}
		var manifest apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(raw, &manifest); err != nil {
			return nil, fmt.Errorf("parse CRD %s: %w", entry.Name(), err)
		}
		manifests = append(manifests, &manifest)
	}
	return manifests, nil
}
