package release

import (
	"slices"
	"testing"
)

func image(version, openssl string) NodeImage {
	return NodeImage{
		Version: version, Built: version, Images: map[string]string{"1.36.3": "r/node-v1.36.3:" + version},
		Packages: map[string]string{"openssl": openssl, "bash": "5.2"}, Components: map[string]string{"containerd": "2.4.2"},
	}
}

func TestCompareNodeImages(t *testing.T) {
	for _, c := range []struct {
		why, a, b string
		want      int
	}{
		{"the number counts as a number", "BerthDebian-12containerd-202611.24.9", "BerthDebian-12containerd-202611.24.10", -1},
		{"the day comes before the number", "BerthDebian-12containerd-202611.25.0", "BerthDebian-12containerd-202611.24.7", 1},
		{"the year comes before the day", "BerthDebian-12containerd-202701.01.0", "BerthDebian-12containerd-202612.31.0", 1},
		{"equal is equal", "BerthDebian-12containerd-202611.24.0", "BerthDebian-12containerd-202611.24.0", 0},
		{"what is no version is older than all", "", "BerthDebian-12containerd-202611.24.0", -1},
	} {
		if got := CompareNodeImages(c.a, c.b); got != c.want {
			t.Errorf("%s: CompareNodeImages(%q, %q) = %d, want %d", c.why, c.a, c.b, got, c.want)
		}
	}
}

func TestChangesSince(t *testing.T) {
	old, next := image("a-202611.24.0", "3.0.15"), image("a-202612.01.0", "3.0.17")
	next.Packages["socat"], next.Components["runc"] = "1.7", "1.5.2"
	delete(next.Packages, "bash")
	want := []Change{{"bash", "5.2", ""}, {"openssl", "3.0.15", "3.0.17"}, {"runc", "", "1.5.2"}, {"socat", "", "1.7"}}
	if got := next.ChangesSince(old); !slices.Equal(got, want) {
		t.Errorf("changes: %v, want %v", got, want)
	}
	if got := next.ChangesSince(next); len(got) != 0 {
		t.Errorf("an image differs from itself: %v", got)
	}
	if next.Packages["runc"] != "" || old.Components["bash"] != "" {
		t.Error("comparing changed an image")
	}
}

func TestRecordKeepsOlderImages(t *testing.T) {
	var c Catalogue
	for _, version := range []string{"a-202611.01.0", "a-202611.08.0", "a-202611.15.0", "a-202611.15.0"} {
		c.Record(image(version, "3"), 2)
	}
	if len(c.NodeImages) != 2 || c.NodeImageVersion != "a-202611.15.0" || c.NodeImages[1].Version != "a-202611.08.0" {
		t.Errorf("after four builds, two of one version, two are kept, newest first: %+v", c.NodeImages)
	}
	if ref, ok := c.MachineImage("1.36.3", "a-202611.08.0"); !ok || ref != "r/node-v1.36.3:a-202611.08.0" {
		t.Errorf("a machine of an older image finds it: %q, %v", ref, ok)
	}
	if _, ok := c.MachineImage("1.37.2", "a-202611.08.0"); ok {
		t.Error("an image of another Kubernetes version was found")
	}
	// A build of fewer versions must not take away what machines run.
	again := image("a-202611.15.0", "3")
	again.Images = map[string]string{"1.37.2": "other"}
	c.Record(again, 2)
	if _, ok := c.MachineImage("1.36.3", "a-202611.15.0"); !ok {
		t.Error("the image for a version that was not built again is lost")
	}
}
