// Command kube is Kubernetes 1.36 as one multi-call binary.
package main

import "berth.dev/berth/kube/multicall"

func main() { multicall.Main() }
