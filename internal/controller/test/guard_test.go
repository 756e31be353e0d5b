package test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/internal/machine"
)

// errDead is what everything answers after the process was killed.
var errDead = errors.New("the process is dead")

// guard counts the side effects of one process and kills it after one of them,
// before it learns of it. To die before a side effect is to die after the one
// before, so that every moment is covered.
type guard struct {
	// killAt is the side effect that the process dies at; 0 never.
	killAt int
	// killAfter names side effects that the process dies at whatever their number;
	// each is asked for once. Nil is none.
	killAfter func(what string) bool
	// meanwhile is what others do right before a side effect. Nil is nothing.
	meanwhile func(what string)
	// reader looks for changes. A write that changes nothing is no side effect: it
	// could be repeated for ever.
	reader client.Reader

	mu    sync.Mutex
	count int
	last  string
	dead  chan struct{}
}

func newGuard(killAt int, reader client.Reader) *guard {
	return &guard{killAt: killAt, reader: reader, dead: make(chan struct{})}
}

func (g *guard) isDead() bool {
	select {
	case <-g.dead:
		return true
	default:
		return false
	}
}

// do runs one write. Version tells the state of what it writes to.
func (g *guard) do(what string, version func() string, effect func() error) error {
	if g.isDead() {
		return errDead
	}
	before := ""
	if g.killAt > 0 {
		before = version()
	}
	if g.meanwhile != nil {
		g.meanwhile(what)
	}
	err := effect()
	if err != nil && !g.isDead() {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isDead() {
		return errDead
	}
	if g.killAt > 0 && before == version() {
		return err
	}
	g.count, g.last = g.count+1, what
	if g.count != g.killAt && (g.killAfter == nil || !g.killAfter(what)) {
		return err
	}
	close(g.dead)
	return errDead
}

func (g *guard) effects() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// object guards a write to an object.
func (g *guard) object(c client.Client, verb string, object any, effect func() error) error {
	key, gvk := identify(c.Scheme(), object)
	version := func() string {
		seen := &metav1.PartialObjectMetadata{}
		seen.SetGroupVersionKind(gvk)
		if err := g.reader.Get(context.Background(), key, seen); err != nil {
			return ""
		}
		return string(seen.UID) + "/" + seen.ResourceVersion
	}
	return g.do(fmt.Sprintf("%s %s %s", verb, gvk.Kind, key), version, effect)
}

func identify(scheme *runtime.Scheme, object any) (client.ObjectKey, schema.GroupVersionKind) {
	var key client.ObjectKey
	if accessor, err := meta.Accessor(object); err == nil {
		key = client.ObjectKey{Namespace: accessor.GetNamespace(), Name: accessor.GetName()}
	}
	if typed, ok := object.(runtime.Object); ok {
		if gvk, err := apiutil.GVKForObject(typed, scheme); err == nil {
			return key, gvk
		}
	}
	return key, schema.GroupVersionKind{}
}

// wrap guards every write of a client.
func (g *guard) wrap(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return g.object(c, "create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return g.object(c, "update", o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return g.object(c, "patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return g.object(c, "delete", o, func() error { return c.Delete(ctx, o, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return g.object(c, "apply", o, func() error { return c.Apply(ctx, o, opts...) })
		},
		SubResourceCreate: func(ctx context.Context, c client.Client, name string, o, sub client.Object, opts ...client.SubResourceCreateOption) error {
			return g.object(c, "create "+name, o, func() error { return c.SubResource(name).Create(ctx, o, sub, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return g.object(c, "update "+name, o, func() error { return c.SubResource(name).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return g.object(c, "patch "+name, o, func() error { return c.SubResource(name).Patch(ctx, o, p, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, name string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			return g.object(c, "apply "+name, o, func() error { return c.SubResource(name).Apply(ctx, o, opts...) })
		},
	})
}

// provider guards a machine provider.
type provider struct {
	machine.Provider
	guard *guard
}

func (p provider) Ensure(ctx context.Context, m machine.Machine) error {
	return p.guard.do("ensure machine "+m.Name, p.version(m.Ref), func() error { return p.Provider.Ensure(ctx, m) })
}

func (p provider) Delete(ctx context.Context, ref machine.Ref, grace time.Duration) error {
	return p.guard.do("delete machine "+ref.Name, p.version(ref), func() error { return p.Provider.Delete(ctx, ref, grace) })
}

func (p provider) Reboot(ctx context.Context, ref machine.Ref, seen machine.Observation) error {
	return p.guard.do("reboot machine "+ref.Name, p.version(ref), func() error { return p.Provider.Reboot(ctx, ref, seen) })
}

func (p provider) Run(ctx context.Context, ref machine.Ref, command machine.Command) (result machine.Result, err error) {
	err = p.guard.do("run a script in machine "+ref.Name, p.version(ref), func() error {
		var ranErr error
		result, ranErr = p.Provider.Run(ctx, ref, command)
		return ranErr
	})
	return result, err
}

func (p provider) version(ref machine.Ref) func() string {
	return func() string {
		seen, err := p.Observe(context.Background(), ref)
		return fmt.Sprint(seen, err)
	}
}
