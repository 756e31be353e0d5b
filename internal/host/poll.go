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

// pollContext is poll until the context ends. A question that was begun is let
// finish when patience runs out: what it says is worth more than that it was late.
func pollContext(ctx context.Context, patience time.Duration, ask func(context.Context) (bool, error)) error {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		done, err := ask(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-enough.C:
			return fmt.Errorf("%w (%s)", errTooLong, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
