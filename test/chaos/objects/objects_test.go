package objects

import (
	"bytes"
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3://
	"gocloud.dev/gcerrors"
)

// The client that Berth has finds what it needs, small and large.
func TestAStore(t *testing.T) {
	store := New()
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	bucket, err := blob.OpenBucket(t.Context(), "s3://backups?"+Query+"&endpoint="+server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	large := bytes.Repeat([]byte("0123456789"), 2<<20)
	for name, content := range map[string][]byte{"a/one": []byte("1"), "a/two": large, "b/three": []byte("3")} {
		if err := bucket.WriteAll(t.Context(), name, content, nil); err != nil {
			t.Fatal(err)
		}
		if got, err := bucket.ReadAll(t.Context(), name); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if attributes, err := bucket.Attributes(t.Context(), "a/two"); err != nil || attributes.Size != int64(len(large)) || time.Since(attributes.ModTime) > time.Hour {
		t.Errorf("%+v %v", attributes, err)
	}
	names := func(options *blob.ListOptions) (found []string) {
		for list := bucket.List(options); ; {
			entry, err := list.Next(t.Context())
			if err != nil {
				return found
			}
			found = append(found, entry.Key)
		}
	}
	if got := names(&blob.ListOptions{Prefix: "a/"}); !slices.Equal(got, []string{"a/one", "a/two"}) {
		t.Errorf("in a: %v", got)
	}
	if got := names(&blob.ListOptions{Delimiter: "/"}); !slices.Equal(got, []string{"a/", "b/"}) {
		t.Errorf("parts: %v", got)
	}
	if err := bucket.Delete(t.Context(), "a/one"); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.ReadAll(t.Context(), "a/one"); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("what was removed: %v", err)
	}
	if got := store.Names(); !slices.Equal(got, []string{"a/two", "b/three"}) {
		t.Errorf("it has %v", got)
	}
}

// One that hangs answers nobody, and everybody who still waits once it goes on.
func TestAStoreThatHangs(t *testing.T) {
	store := New()
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	bucket, err := blob.OpenBucket(t.Context(), "s3://backups?"+Query+"&endpoint="+server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	release := store.Hang()
	t.Cleanup(release)
	impatient, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- bucket.WriteAll(impatient, "impatient", nil, nil) }()
	wait(t, func() bool { return store.Held() == 1 })
	cancel()
	if err := <-ended; err == nil {
		t.Error("it answers")
	}
	go func() { ended <- bucket.WriteAll(t.Context(), "patient", nil, nil) }()
	wait(t, func() bool { return store.Held() == 2 })
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := store.Names(); !slices.Equal(got, []string{"patient"}) {
		t.Errorf("it has %v", got)
	}
}

func wait(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		<-tick.C
	}
}
