package backup

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// steady gives a stride in pieces, each of which takes a time.
type steady struct{ each time.Duration }

const pieces = 8

// Read implements io.Reader.
func (s steady) Read(p []byte) (int, error) {
	<-time.After(s.each)
	return min(stride/pieces, len(p)), nil
}

func TestPace(t *testing.T) {
	for why, c := range map[string]struct{ read, seal, want time.Duration }{
		"as long as it took to read":                      {8 * time.Millisecond, 0, 8 * time.Millisecond},
		"and to seal":                                     {time.Millisecond, 8 * time.Millisecond, 9 * time.Millisecond},
		"an etcd that gives nothing is not rested from":   {time.Minute, 0, longestRest},
		"where nothing takes any time there is no burden": {0, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &paced{ctx: t.Context(), from: steady{c.read / pieces}}
			const strides = 10
			began, buffer := time.Now(), make([]byte, stride)
			for range strides*pieces + 1 {
				if _, err := p.Read(buffer); err != nil {
					t.Fatal(err)
				}
				<-time.After(c.seal / pieces)
			}
			rested := time.Since(began) - strides*(c.read+c.seal) - (c.read+c.seal)/pieces
			if rested != strides*c.want {
				t.Errorf("%s: it rested for %s, want %s", why, rested, strides*c.want)
			}
		})
	}
}

// A rest that was too long, since a timer was late, is taken off the next.
func TestLateTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &paced{ctx: t.Context(), from: steady{time.Millisecond}, owed: -5 * time.Millisecond}
		began, buffer := time.Now(), make([]byte, stride)
		for range 2*pieces + 1 {
			if _, err := p.Read(buffer); err != nil {
				t.Fatal(err)
			}
		}
		if took, want := time.Since(began), (2*pieces+1+2*pieces-5)*time.Millisecond; took != want {
			t.Errorf("it took %s, want %s", took, want)
		}
	})
}

func TestRestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &paced{ctx: ctx, from: steady{time.Second}}
		go func() {
			<-time.After(pieces*time.Second + longestRest/2)
			cancel()
		}()
		began := time.Now()
		_, err := io.ReadFull(p, make([]byte, 2*stride))
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took != pieces*time.Second+longestRest/2 {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
