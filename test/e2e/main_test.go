// Package e2e runs real clusters on a Berth of its own: ring 5.
package e2e

import (
	"testing"

	"berth.dev/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
