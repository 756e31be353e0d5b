// Command kube is Kubernetes 1.37 as one multi-call binary.
package main

import "berth.dev/berth/kube/multicall"

func main() { multicall.Main() }
