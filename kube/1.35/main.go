// Command kube is Kubernetes 1.35 as one multi-call binary.
package main

import "berth.dev/berth/kube/multicall"

func main() { multicall.Main() }
