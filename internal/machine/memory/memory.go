// Package memory provides machines that do not exist: they become what a test
// says. It is for tests of what uses a provider.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"berth.dev/berth/internal/machine"
)

// Provider implements machine.Provider. Machines stay Starting until Boot and
// Stopping until Halt, or, with Prompt, take no time for either.
type Provider struct {
	// Prompt makes machines boot and end at once.
	Prompt bool
	// Script says what comes of scripts that run in machines; nil means nothing.
	Script func(machine.Ref, machine.Command) (machine.Result, error)

	mu       sync.Mutex
	machines map[machine.Ref]*record
	made     int
}

type record struct {
	machine machine.Machine
	seen    machine.Observation
}

var _ machine.Provider = (*Provider)(nil)

// New returns a provider without machines.
func New() *Provider { return &Provider{machines: map[machine.Ref]*record{}} }

// Hold ends Prompt: from now on machines wait for Boot and Halt.
func (p *Provider) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Prompt = false
}

// Ensure implements machine.Provider.
func (p *Provider) Ensure(_ context.Context, m machine.Machine) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Files = cloneFiles(m.Files)
	if have := p.machines[m.Ref]; have != nil {
		have.machine.Files = m.Files
		return nil
	}
	p.made++
	p.machines[m.Ref] = &record{machine: m, seen: machine.Observation{
		State: machine.Starting, Incarnation: fmt.Sprint(p.made), Message: "waiting to boot",
	}}
	if p.Prompt {
		p.boot(m.Ref)
	}
	return nil
}

// Observe implements machine.Provider.
func (p *Provider) Observe(_ context.Context, ref machine.Ref) (machine.Observation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.machines[ref]; have != nil {
		return have.seen, nil
	}
	return machine.Observation{State: machine.Absent}, nil
}

// Delete implements machine.Provider.
func (p *Provider) Delete(_ context.Context, ref machine.Ref, _ time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[ref]
	if have == nil {
		return nil
	}
	have.seen.State, have.seen.Message = machine.Stopping, "being removed"
	if p.Prompt {
		delete(p.machines, ref)
	}
	return nil
}

// Reboot implements machine.Provider.
func (p *Provider) Reboot(_ context.Context, ref machine.Ref, seen machine.Observation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[ref]
	if have == nil || have.seen.Incarnation != seen.Incarnation || have.seen.Boots != seen.Boots || have.seen.State != machine.Running {
		return nil
	}
	have.seen.State, have.seen.Message = machine.Starting, "booting again"
	if p.Prompt {
		p.boot(ref)
	}
	return nil
}

// Logs implements machine.Provider.
func (p *Provider) Logs(_ context.Context, ref machine.Ref, limit int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[ref]
	if have == nil {
		return nil, fmt.Errorf("machine %s is not there", ref.Name)
	}
	text := fmt.Appendf(nil, "kubelet    | log of incarnation %s, boot %d\n", have.seen.Incarnation, have.seen.Boots)
	return text[:min(len(text), limit)], nil
}

// Run implements machine.Provider.
func (p *Provider) Run(_ context.Context, ref machine.Ref, command machine.Command) (machine.Result, error) {
	p.mu.Lock()
	have, script := p.machines[ref], p.Script
	runs := have != nil && have.seen.State == machine.Running
	p.mu.Unlock()
	switch {
	case !runs:
		return machine.Result{}, fmt.Errorf("machine %s does not run", ref.Name)
	case script == nil:
		return machine.Result{}, nil
	}
	return script(ref, command)
}

// Boot makes a machine run, or start again, and returns its address.
func (p *Provider) Boot(ref machine.Ref) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.boot(ref)
}

func (p *Provider) boot(ref machine.Ref) string {
	have := p.machines[ref]
	if have == nil {
		return ""
	}
	have.seen.Host = "memory"
	if have.seen.Address == "" {
		have.seen.Address = fmt.Sprintf("100.64.%d.%d", p.made/250, p.made%250+2)
	}
	have.seen.State, have.seen.Message = machine.Running, ""
	have.seen.Boots++
	return have.seen.Address
}

// Readdress gives a machine that has not booted the address that it boots with.
func (p *Provider) Readdress(ref machine.Ref, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.machines[ref]; have != nil {
		have.seen.Address = address
	}
}

// Fail makes a machine end for good.
func (p *Provider) Fail(ref machine.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.machines[ref]; have != nil {
		have.seen.State, have.seen.Message = machine.Failed, "it broke"
	}
}

// Halt ends a machine, as if its removal were complete.
func (p *Provider) Halt(ref machine.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.machines, ref)
}

// Machines returns every machine that exists.
func (p *Provider) Machines() map[machine.Ref]machine.Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[machine.Ref]machine.Machine{}
	for ref, have := range p.machines {
		m := have.machine
		m.Files = cloneFiles(m.Files)
		all[ref] = m
	}
	return all
}

func cloneFiles(files map[string][]byte) map[string][]byte {
	out := maps.Clone(files)
	for name, content := range out {
		out[name] = bytes.Clone(content)
	}
	return out
}
