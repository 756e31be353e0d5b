package host

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errTooLong means that what was waited for did not come in time.
var errTooLong = errors.New("took too long")

const pollEvery = 50 * time.Millisecond

// poll asks until the answer is yes, an error, or patience runs out.
func poll(patience time.Duration, ask func() (bool, error)) error {
	return pollContext(context.Background(), patience, func(context.Context) (bool, error) { return ask() })
}

func pollContext(ctx context.Context, patience time.Duration, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errTooLong)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		done, err := ask(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errTooLong) {
				return fmt.Errorf("%w (%s)", errTooLong, patience)
			}
			return ctx.Err()
		}
	}
}
