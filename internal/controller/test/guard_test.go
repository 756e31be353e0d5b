package test

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/internal/machine"
)

// errDead is what everything answers after the process was killed.
var errDead = errors.New("the process is dead")

// guard counts the side effects of one process and kills it at one of them.
type guard struct {
	// killAt is the side effect that the process dies at; 0 never.
	killAt int
	// lost says whether it dies before that side effect takes place, or after it
	// and before it learns of that.
	lost bool

	mu    sync.Mutex
	count int
	dead  chan struct{}
}

func newGuard(killAt int, lost bool) *guard {
	return &guard{killAt: killAt, lost: lost, dead: make(chan struct{})}
}

// do runs one side effect.
func (g *guard) do(effect func() error) error {
	g.mu.Lock()
	select {
	case <-g.dead:
		g.mu.Unlock()
		return errDead
	default:
	}
	g.count++
	last := g.count == g.killAt
	if last {
		close(g.dead)
	}
	g.mu.Unlock()
	if last && g.lost {
		return errDead
	}
	err := effect()
	if last {
		return errDead
	}
	return err
}

func (g *guard) effects() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// wrap guards every write of a client.
func (g *guard) wrap(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return g.do(func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return g.do(func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return g.do(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return g.do(func() error { return c.Delete(ctx, o, opts...) })
		},
		DeleteAllOf: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteAllOfOption) error {
			return g.do(func() error { return c.DeleteAllOf(ctx, o, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return g.do(func() error { return c.Apply(ctx, o, opts...) })
		},
		SubResourceCreate: func(ctx context.Context, c client.Client, name string, o, sub client.Object, opts ...client.SubResourceCreateOption) error {
			return g.do(func() error { return c.SubResource(name).Create(ctx, o, sub, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return g.do(func() error { return c.SubResource(name).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return g.do(func() error { return c.SubResource(name).Patch(ctx, o, p, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, name string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			return g.do(func() error { return c.SubResource(name).Apply(ctx, o, opts...) })
		},
	})
}

// provider guards a machine provider.
type provider struct {
	machine.Provider
	guard *guard
}

func (p provider) Ensure(ctx context.Context, m machine.Machine) error {
	return p.guard.do(func() error { return p.Provider.Ensure(ctx, m) })
}

func (p provider) Delete(ctx context.Context, ref machine.Ref, grace time.Duration) error {
	return p.guard.do(func() error { return p.Provider.Delete(ctx, ref, grace) })
}
