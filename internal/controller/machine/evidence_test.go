package machine

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"berth.dev/berth/internal/node"
	"berth.dev/berth/internal/policy"
)

// What machines report is what nodes are judged by.
func TestProblemsHaveOneName(t *testing.T) {
	var judged []string
	for _, problem := range policy.NodeProblems {
		judged = append(judged, string(problem.Type))
	}
	reported := node.ProblemConditions()
	slices.Sort(judged)
	slices.Sort(reported)
	if !slices.Equal(judged, reported) {
		t.Errorf("judged are %v, reported are %v", judged, reported)
	}
}

// A log that does not compress is cut to its end, and still fits an object.
func TestEvidenceFitsAnObject(t *testing.T) {
	noise := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 100, evidenceLog} {
		text := make([]byte, size)
		_, _ = noise.Read(text)
		packed, err := compressed(text)
		if err != nil || len(packed) > evidenceFile {
			t.Fatalf("%d bytes become %d, %v", size, len(packed), err)
		}
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(reader); err != nil || !bytes.HasSuffix(text, back) || size > 0 && len(back) == 0 {
			t.Errorf("of %d bytes %d came back, %v", size, len(back), err)
		}
	}
}
