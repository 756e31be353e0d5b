package policy

import "strings"

// VMSize is what a machine of one size offers to its node.
type VMSize struct {
	Name      string
	CPUs      int
	MemoryMiB int64
}

// DefaultVMSize is AKS's usual default.
const DefaultVMSize = "Standard_D2s_v5"

// vmSizes holds the figures that Azure publishes for its sizes.
var vmSizes = []VMSize{
	{"Standard_A2_v2", 2, 4096},
	{"Standard_A4_v2", 4, 8192},
	{"Standard_B2s", 2, 4096},
	{"Standard_B2ms", 2, 8192},
	{"Standard_B4ms", 4, 16384},
	{"Standard_D2_v2", 2, 7168},
	{"Standard_DS2_v2", 2, 7168},
	{"Standard_DS3_v2", 4, 14336},
	{"Standard_D2_v3", 2, 8192},
	{"Standard_D2s_v3", 2, 8192},
	{"Standard_D4s_v3", 4, 16384},
	{"Standard_D8s_v3", 8, 32768},
	{"Standard_D2s_v4", 2, 8192},
	{"Standard_D4s_v4", 4, 16384},
	{"Standard_D2s_v5", 2, 8192},
	{"Standard_D4s_v5", 4, 16384},
	{"Standard_D8s_v5", 8, 32768},
	{"Standard_D16s_v5", 16, 65536},
	{"Standard_D2as_v5", 2, 8192},
	{"Standard_D4as_v5", 4, 16384},
	{"Standard_D2ds_v5", 2, 8192},
	{"Standard_D4ds_v5", 4, 16384},
	{"Standard_E2s_v5", 2, 16384},
	{"Standard_E4s_v5", 4, 32768},
	{"Standard_F2s_v2", 2, 4096},
	{"Standard_F4s_v2", 4, 8192},
}

// FindVMSize returns a size by its name, without regard to case.
func FindVMSize(name string) (VMSize, bool) {
	for _, size := range vmSizes {
		if strings.EqualFold(size.Name, name) {
			return size, true
		}
	}
	return VMSize{}, false
}

// VMSizes lists every size on offer.
func VMSizes() []VMSize { return append([]VMSize(nil), vmSizes...) }

// systemPoolAllows says whether nodes of the size may carry system pods: at
// least 2 vCPU and 4 GiB, and no burstable B series (AKS: use-system-pools).
func (s VMSize) systemPoolAllows() bool {
	return s.CPUs >= 2 && s.MemoryMiB >= 4096 && !strings.HasPrefix(s.Name, "Standard_B")
}
