package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionNodesHealthy of an AgentPool is False while a node of it is ill, and says
// what is done about it (E4).
const ConditionNodesHealthy = "NodesHealthy"

// TagAutoRepair on an AgentPool with the value TagOff turns the repair of its nodes
// off (X8). AKS has no such switch.
const (
	TagAutoRepair = "berth-auto-repair"
	TagOff        = "off"
)

// RepairStage is how far the repair of a node has come.
type RepairStage string

// The stages of a repair. A node that is well has none.
const (
	RepairUnhealthy RepairStage = "Unhealthy" // it is ill, and may recover by itself
	RepairActing    RepairStage = "Acting"    // an action was begun and has not ended
	RepairWatching  RepairStage = "Watching"  // an action has ended; whether it helped is to be seen
	RepairGaveUp    RepairStage = "GaveUp"    // all was tried and the node is still ill
)

// RepairAction is a rung of the ladder.
type RepairAction string

// The actions, in the order in which they are taken.
const (
	RepairReboot   RepairAction = "Reboot"   // the machine starts again with its disks
	RepairReimage  RepairAction = "Reimage"  // it is made anew on the same host, with fresh disks
	RepairRedeploy RepairAction = "Redeploy" // it is made anew on another host, where there is one
)

// MachineRepair is how ill a machine's node is and what was done about it (E4).
type MachineRepair struct {
	Stage RepairStage `json:"stage,omitempty"`
	// Reason and Message say what the illness is: a condition of the Node.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// UnhealthySince is since when the node is seen to be ill, without a break.
	UnhealthySince *metav1.Time `json:"unhealthySince,omitempty"`
	// HealthySince is since when it is well again after an action.
	HealthySince *metav1.Time `json:"healthySince,omitempty"`
	// Began is when the first action of the sequence was begun, and Attempt the
	// sequence's number, from 1.
	Began   *metav1.Time `json:"began,omitempty"`
	Attempt int32        `json:"attempt,omitempty"`
	// Action is the last action, and ActionStarted and ActionEnded its times.
	Action        RepairAction `json:"action,omitempty"`
	ActionStarted *metav1.Time `json:"actionStarted,omitempty"`
	ActionEnded   *metav1.Time `json:"actionEnded,omitempty"`
	// ActionError is why the last action was not carried out.
	ActionError string `json:"actionError,omitempty"`
	// Incarnation, Boots and Host are the machine's when the action was begun, so that
	// it is done once; Replaced says that what was there is gone.
	Incarnation string `json:"incarnation,omitempty"`
	Boots       int32  `json:"boots,omitempty"`
	Host        string `json:"host,omitempty"`
	Replaced    bool   `json:"replaced,omitempty"`
	// Evidence is the Secret, in the namespace of the cluster's machines, that holds
	// what was saved before the last action that made the machine anew (X8).
	Evidence string `json:"evidence,omitempty"`
	// NextAction and NextTime are what is done next if the node stays ill.
	NextAction RepairAction `json:"nextAction,omitempty"`
	NextTime   *metav1.Time `json:"nextTime,omitempty"`
	// Held is why nothing is done though the node is ill.
	Held string `json:"held,omitempty"`
	// Count is how many actions the machine has seen in all, and History the last of
	// them, newest first.
	Count   int32            `json:"count,omitempty"`
	History []RepairedRecord `json:"history,omitempty"`
}

// RepairedRecord is one action that was taken.
type RepairedRecord struct {
	Action  RepairAction `json:"action"`
	Reason  string       `json:"reason,omitempty"`
	Started metav1.Time  `json:"started"`
	Ended   metav1.Time  `json:"ended"`
	// Error is why it was not carried out; empty if it was.
	Error string `json:"error,omitempty"`
}

// NodeRepair are the figures of auto-repair. A nil field means its default.
type NodeRepair struct {
	// After is how long a node is ill before anything is done: 10m (AKS: node-auto-repair).
	After *metav1.Duration `json:"after,omitempty"`
	// Wait is how long a node may take to recover after an action before the next: 5m.
	Wait *metav1.Duration `json:"wait,omitempty"`
	// ActionTimeout is how long an action may take: 10m.
	ActionTimeout *metav1.Duration `json:"actionTimeout,omitempty"`
	// Limit is how long a repair goes on in all: 1h.
	Limit *metav1.Duration `json:"limit,omitempty"`
	// Attempts is how often the sequence of actions is gone through: 3.
	Attempts int32 `json:"attempts,omitempty"`
	// BrakePercent is the share of a cluster's nodes that are ill at once from which
	// on none is repaired, unless it is only one: 55 (X8).
	BrakePercent int32 `json:"brakePercent,omitempty"`
	// Evidence is how many sets of evidence are kept for each cluster: 10 (X8).
	Evidence int32 `json:"evidence,omitempty"`
}
