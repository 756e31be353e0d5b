package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// EtcdCleaningReason is why room is made in an etcd.
type EtcdCleaningReason string

const (
	// EtcdNoSpace: etcd has raised the alarm NOSPACE, and takes no writes.
	EtcdNoSpace EtcdCleaningReason = "NoSpace"
	// EtcdFragmented: it takes nearly as much as it may, and most of that holds nothing.
	EtcdFragmented EtcdCleaningReason = "Fragmented"
)

// EtcdCleaningResult is how an attempt at making room ended.
type EtcdCleaningResult string

const (
	// EtcdCleaned: there is room, and etcd takes writes.
	EtcdCleaned EtcdCleaningResult = "Cleaned"
	// EtcdFull: what it holds takes nearly as much as it may; the alarm stays.
	EtcdFull EtcdCleaningResult = "Full"
	// EtcdCleaningFailed: it came to no end in its time.
	EtcdCleaningFailed EtcdCleaningResult = "Failed"
)

// EtcdCleaning is the last attempt at making room in a cluster's etcd, running or ended
// (A3): its history is compacted, its members are defragmented one after the other, and the
// alarm is taken back. It is written down before each step.
type EtcdCleaning struct {
	Reason EtcdCleaningReason `json:"reason"`
	// Attempt counts those that follow on each other, from one.
	Attempt   int32        `json:"attempt"`
	StartTime metav1.Time  `json:"startTime"`
	EndTime   *metav1.Time `json:"endTime,omitempty"`
	// Revision is that up to which the history goes; zero if none of it does. Compacted says
	// that it has gone.
	Revision  int64 `json:"revision,omitempty"`
	Compacted bool  `json:"compacted,omitempty"`
	// Noted is what etcd had reached when the attempt began, and again when it ended: what
	// is older than the API server's time for history may go in the next.
	Noted int64 `json:"noted,omitempty"`
	// Defragmenting is the member whose turn it is, by its ID in hexadecimal, and
	// Defragmented are those that had theirs.
	Defragmenting string `json:"defragmenting,omitempty"`
	// +listType=atomic
	Defragmented []string `json:"defragmented,omitempty"`
	// Before and After are how much the largest database took, in bytes.
	Before int64              `json:"before,omitempty"`
	After  int64              `json:"after,omitempty"`
	Result EtcdCleaningResult `json:"result,omitempty"`
}

// UnderWay says whether the attempt has not ended. A nil one has.
func (c *EtcdCleaning) UnderWay() bool { return c != nil && c.EndTime == nil }
