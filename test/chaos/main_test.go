// Package chaos does to a Berth what machines and people do to one, under a steady load,
// and looks whether anything that was acknowledged is lost.
package chaos

import (
	"testing"

	"berth.dev/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
