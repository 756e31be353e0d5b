package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth.dev/berth/internal/identity"
)

// Engineers are who has a file: the first up makes one, the operator makes and removes others.
func TestEngineersAreFiles(t *testing.T) {
	k := keystore{t.TempDir(), now}
	names := func() string {
		raw, err := k.engineers()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for line := range strings.Lines(string(raw)) {
			name, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
			secret, err := os.ReadFile(k.path(filepath.Join(engineersDir, name)))
			if err != nil || !identity.Matches(hash, strings.TrimSpace(string(secret))) {
				t.Errorf("%s: the hash is not of the secret (%v)", name, err)
			}
			all = append(all, name)
		}
		return strings.Join(all, " ")
	}
	if got := names(); got != EngineerName {
		t.Errorf("the first up makes %q", got)
	}
	if err := os.WriteFile(k.path(filepath.Join(engineersDir, "ann")), []byte("chosen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "ann "+EngineerName {
		t.Errorf("with a file more there are %q", got)
	}
	if err := os.Remove(k.path(filepath.Join(engineersDir, EngineerName))); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "ann" {
		t.Errorf("whose file was removed comes back: %q", got)
	}
	if err := os.WriteFile(k.path(filepath.Join(engineersDir, "a b")), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.engineers(); err == nil {
		t.Error("a name that is none is taken")
	}
}
