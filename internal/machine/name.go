package machine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// AnnotationSettled on a Machine object is the generation whose labels and taints
// its node carries. The machine controller writes it.
const AnnotationSettled = "berth.dev/settled-generation"

const (
	ordinalDigits = 6
	ordinalBase   = 36
	scaleSetTail  = "-vmss"
)

// ScaleSet is the name that AKS gives the scale set of a pool:
// aks-<pool>-<8 digits>-vmss. The digits are the same for all pools of a cluster.
func ScaleSet(pool, clusterID string) string {
	sum := sha256.Sum256([]byte(clusterID))
	return fmt.Sprintf("aks-%s-%08d%s", pool, binary.BigEndian.Uint64(sum[:8])%1e8, scaleSetTail)
}

// ScaleSetOf is the scale set of a node that is named as NodeName does.
func ScaleSetOf(nodeName string) string { return nodeName[:max(0, len(nodeName)-ordinalDigits)] }

// NodeName is the name of a pool's node: the scale set and six digits of base 36.
func NodeName(pool, clusterID string, ordinal int32) string {
	return ScaleSet(pool, clusterID) + digits(ordinal)
}

// ObjectName is the name of a Machine object: its pool's object name and six
// digits of base 36.
func ObjectName(poolObject string, ordinal int32) string {
	return poolObject + "." + digits(ordinal)
}

// Ordinal reads the ordinal off a node's name or a Machine object's name.
func Ordinal(name string) (int32, error) {
	if len(name) <= ordinalDigits {
		return 0, fmt.Errorf("machine name %q has no ordinal", name)
	}
	head, tail := name[:len(name)-ordinalDigits], name[len(name)-ordinalDigits:]
	n, err := strconv.ParseUint(tail, ordinalBase, 31)
	if err != nil || digits(int32(n)) != tail || !strings.HasSuffix(head, ".") && !strings.HasSuffix(head, scaleSetTail) {
		return 0, fmt.Errorf("machine name %q does not end in six digits of base 36", name)
	}
	return int32(n), nil
}

// ProviderID is the Azure id of a node's virtual machine, as the cloud provider of
// AKS writes it into spec.providerID.
func ProviderID(subscriptionID, nodeResourceGroup, nodeName string) (string, error) {
	ordinal, err := Ordinal(nodeName)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("azure:///subscriptions/%s/resourceGroups/%s/providers/Microsoft.Compute/virtualMachineScaleSets/%s/virtualMachines/%d",
		subscriptionID, strings.ToLower(nodeResourceGroup), strings.TrimSuffix(nodeName, digits(ordinal)), ordinal), nil
}

func digits(ordinal int32) string {
	text := strconv.FormatInt(int64(ordinal), ordinalBase)
	return strings.Repeat("0", max(0, ordinalDigits-len(text))) + text
}
