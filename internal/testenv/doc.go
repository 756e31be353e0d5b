// Package testenv starts real programs for tests: etcd and kube-apiserver as a
// management cluster, or a whole hosted control plane, as plain processes on the
// loopback device. There is no kubelet: tests mark pods ready themselves.
//
// The programs are those of `berth build` (build/out). Everything that a test
// starts ends with the test, or with the test process if that dies.
package testenv
