// Package long takes clusters through every version that there is. It builds one from
// source, so that it stands apart from the rings: `make e2e`.
package long

import (
	"testing"

	"berth.dev/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
