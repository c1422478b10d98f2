package boot

import (
	"fmt"

	"ferry/boot/protocol"
	"ferry/phys"
)

// Types of setup_data nodes.
const (
	SetupE820Ext  = protocol.SetupE820Ext
	SetupEFI      = protocol.SetupEFI
	SetupCCBlob   = protocol.SetupCCBlob // of a guest whose memory is encrypted
	SetupIMA      = protocol.SetupIMA
	SetupRNGSeed  = protocol.SetupRNGSeed
	SetupKHO      = protocol.SetupKHO
	SetupIndirect = protocol.SetupIndirect
)

// KHOSize is the length of a [SetupKHO] node's payload in bytes. Package kho
// knows what it says.
const KHOSize = 32

// maxSeeds bounds the nodes of type SetupRNGSeed: a loader writes one.
const maxSeeds = 8

// Node is one element of the setup_data list. Data is a window on the memory of
// whoever wrote the node; it must not be changed.
type Node struct {
	Addr phys.Addr // of the node's header
	Type uint32
	Data []byte
}

// Range returns the bytes of the node, its header included.
func (n Node) Range() phys.Range {
	return phys.Range{Start: n.Addr, End: n.Addr + protocol.NodeHeader + phys.Addr(len(n.Data))}
}

// Indirect decodes struct setup_indirect: a node of type [SetupIndirect] that
// says where data of another type lies. The range is not checked to be RAM.
func (n Node) Indirect() (typ uint32, at phys.Range, ok bool) {
	if n.Type != SetupIndirect || len(n.Data) < 24 {
		return 0, phys.Range{}, false
	}
	at, ok = phys.Span(phys.Addr(u64(n.Data, 16)), u64(n.Data, 8))
	return u32(n.Data, 0), at, ok
}

// points returns the memory that the node refers to by address.
func (n Node) points() (phys.Range, bool) {
	switch {
	case n.Type == SetupIMA && len(n.Data) >= 16:
		return phys.Span(phys.Addr(u64(n.Data, 0)), u64(n.Data, 8))
	case n.Type == SetupIndirect:
		_, r, ok := n.Indirect()
		return r, ok
	}
	return phys.Range{}, false
}

// walk reads the list that starts at head, which link holds. With an error, which
// names its head and the link that led there, it returns the nodes before the damage.
func walk(mem phys.Memory, link, head phys.Addr) (nodes []Node, err error) {
	defer func() { err = phys.In(fmt.Sprintf("list from %s on: link %s", head, link), link, err) }()
	seeds := 0
	for at := head; at != 0; {
		object := fmt.Sprintf("setup_data node %d", len(nodes))
		if len(nodes) == protocol.MaxNodes {
			return nodes, damaged(object, at, "another node", fmt.Sprintf("a list of at most %d", protocol.MaxNodes), ErrSetupData)
		}
		for i, n := range nodes {
			if n.Addr == at {
				return nodes, damaged(object, at, fmt.Sprintf("the address of node %d", i), "a list without cycle", ErrSetupData)
			}
		}
		if !at.Aligned(protocol.NodeAlign) {
			return nodes, damaged(object, at, "address not aligned", fmt.Sprintf("a multiple of %d", protocol.NodeAlign), ErrSetupData)
		}
		h, err := mem.View(at, protocol.NodeHeader)
		if err != nil {
			return nodes, phys.In(object, at, err)
		}
		n := Node{Addr: at, Type: u32(h, protocol.OffNodeType)}
		if n.Type == protocol.SetupNone {
			return nodes, damaged(object, at, "type 0", "a node that some loader wrote", ErrSetupData)
		}
		if size := u32(h, protocol.OffNodeLen); size > 0 {
			if n.Data, err = mem.View(at+protocol.NodeHeader, uint64(size)); err != nil {
				return nodes, phys.In(fmt.Sprintf("%s: type %d, %d bytes", object, n.Type, size), at, err)
			}
		}
		if n.Type == SetupRNGSeed {
			if seeds++; seeds > maxSeeds {
				return nodes, damaged(object, at, "one more seed", fmt.Sprintf("at most %d in the list", maxSeeds), ErrSetupData)
			}
		}
		nodes = append(nodes, n)
		link, at = at, phys.Addr(u64(h, 0))
	}
	return nodes, nil
}
