package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

// When a problem is one (AKS: node-problem-detector).
const (
	// downAfter is how long the kubelet or containerd may be down or fail its checks.
	downAfter = 30 * time.Second
	// So many starts within a time are too many.
	frequentStarts = 5
	frequentWithin = 20 * time.Minute
	// blockedAfter is how many attempts in a row the service's registry may not be reached.
	blockedAfter = 3
)

// The conditions that a machine's init reports of its Node, beside the kubelet's own.
// They have the names that AKS's node problem detector gives them.
const (
	conditionKubelet      = "KubeletProblem"
	conditionRuntime      = "ContainerRuntimeProblem"
	conditionKubeletOften = "FrequentKubeletRestart"
	conditionRuntimeOften = "FrequentContainerdRestart"
	conditionReadOnly     = "ReadonlyFilesystem"
	conditionCorruption   = "FilesystemCorruptionProblem"
	conditionDeadlock     = "KernelDeadlock"
	conditionEgress       = "EgressBlocked"
)

// ProblemConditions are the types of all conditions that a machine's init reports.
func ProblemConditions() []string {
	return []string{conditionKubelet, conditionRuntime, conditionKubeletOften, conditionRuntimeOften,
		conditionReadOnly, conditionCorruption, conditionDeadlock, conditionEgress}
}

// symptoms is what an init sees of its machine.
type symptoms struct {
	Kubelet, Containerd supervise.Health
	// Disk is the error of the last write to each of the machine's disks; nil entries are well.
	Disk map[string]error
	// Hung says which tasks have been blocked for long; empty if none has.
	Hung string
	// Unreached counts attempts in a row that did not reach the service's registry, and
	// Egress is the last one's error. Asks is false where there is no registry.
	Asks      bool
	Unreached int
	Egress    error
}

// finding is one condition of the Node.
type finding struct {
	Type    string
	Problem bool
	Reason  string
	Message string
}

// findings are the conditions that the symptoms mean, said being what was found last. A
// service that has been unwell for a moment is as it was: one that starts after a boot is
// not well before it answers, so that a reboot that does not help shows none.
func findings(seen symptoms, said []finding, now time.Time) []finding {
	unwritable, corrupt := diskProblems(seen.Disk)
	all := []finding{
		service(conditionKubelet, "Kubelet", seen.Kubelet, now),
		service(conditionRuntime, "ContainerRuntime", seen.Containerd, now),
		often(conditionKubeletOften, seen.Kubelet, now),
		often(conditionRuntimeOften, seen.Containerd, now),
		unwritable,
		corrupt,
		either(conditionDeadlock, seen.Hung, "TaskHung", "KernelHasNoDeadlock", "kernel has no deadlock"),
	}
	for i, f := range all {
		if last := indexOf(said, f.Type); f == undecided(f.Type) && last >= 0 {
			all[i] = said[last]
		}
	}
	all = slices.DeleteFunc(all, func(f finding) bool { return f == undecided(f.Type) })
	if seen.Asks {
		blocked := ""
		if seen.Unreached >= blockedAfter && seen.Egress != nil {
			blocked = fmt.Sprintf("the registry of the service is not reached: %v", seen.Egress)
		}
		all = append(all, either(conditionEgress, blocked, "EgressBlocked", "EgressNotBlocked", "the registry of the service is reached"))
	}
	return all
}

func service(kind, name string, health supervise.Health, now time.Time) finding {
	switch {
	case health.UnwellSince.IsZero():
		return finding{Type: kind, Reason: name + "IsUp", Message: "it answers"}
	case now.Sub(health.UnwellSince) < downAfter:
		return undecided(kind)
	}
	message := fmt.Sprintf("not healthy since %s: %s", health.UnwellSince.UTC().Format(time.RFC3339), health.Why)
	return finding{Type: kind, Problem: true, Reason: name + "IsDown", Message: message}
}

// undecided stands for a condition of which nothing new can be said.
func undecided(kind string) finding { return finding{Type: kind} }

func indexOf(all []finding, kind string) int {
	return slices.IndexFunc(all, func(f finding) bool { return f.Type == kind })
}

// often leaves the first start of a boot out: that is no restart.
func often(kind string, health supervise.Health, now time.Time) finding {
	recent := 0
	for _, at := range health.Starts[min(1, len(health.Starts)):] {
		if now.Sub(at) <= frequentWithin {
			recent++
		}
	}
	problem := ""
	if recent >= frequentStarts {
		problem = fmt.Sprintf("started again %d times or more within %s", frequentStarts, frequentWithin)
	}
	return either(kind, problem, kind, "No"+kind, "seldom started again")
}

func either(kind, problem, bad, good, well string) finding {
	if problem == "" {
		return finding{Type: kind, Reason: good, Message: well}
	}
	return finding{Type: kind, Problem: true, Reason: bad, Message: problem}
}

// diskProblems are what the disks' last writes mean. One that does not return is a disk
// that cannot be written to.
func diskProblems(disks map[string]error) (unwritable, corrupt finding) {
	var readOnly, hung, damaged []string
	for _, dir := range machineDisks() {
		err := disks[dir]
		switch {
		case errors.Is(err, errDiskHangs):
			hung = append(hung, dir+": "+err.Error())
		case errors.Is(err, syscall.EROFS):
			readOnly = append(readOnly, dir+": "+err.Error())
		case errors.Is(err, syscall.EUCLEAN), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EBADMSG):
			damaged = append(damaged, dir+": "+err.Error())
		}
	}
	reason := "FilesystemIsReadOnly"
	if len(readOnly) == 0 {
		reason = "FilesystemHangs"
	}
	said := func(all ...string) string { return strings.Join(all, "; ") }
	return either(conditionReadOnly, said(slices.Concat(readOnly, hung)...), reason, "FilesystemIsNotReadOnly", "the machine's disks can be written to"),
		either(conditionCorruption, said(damaged...), "FilesystemIsCorrupt", "FilesystemIsOK", "the machine's disks show no damage")
}
