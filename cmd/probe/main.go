// Command probe stands in for Linux at both ends of a crossing, on bare metal.
//
// As Linux A (the default) it lays a handover into the machine's memory and
// starts the kernel of its payload, Ferry, with what that payload has as initrd.
// As Linux B (probe.role=b) it consumes what arrives, compares every byte, prints
// a table, and ends the run: exit code 0 where everything is as expected.
//
// Words of the command line, all optional:
//
//	probe.role=a|b
//	probe.from=G probe.to=G           generations of Linux A and B: A to F, Ep for E'
//	probe.sessions=N probe.files=N    sessions, and memfds in each
//	probe.fill=N                      entries a block holds at most
//	probe.regions=N probe.order=N     reserve_mem blocks of an order
//	probe.tests=N                     folios of test_kho
//	probe.plain                       memfds without seals
//	probe.odd=NAME,NAME               what kernels seldom write, see package standin
//	probe.break=NAME                  break the handover, see package standin
//	probe.node=N                      also hand on a setup_data node of this type
//	probe.expect=crossed|damaged|untouched|cold    what B has to find
//
// Words that start with ferry. are passed on.
package main

import (
	"fmt"
	"os"

	"ferry/board/amd64"
)

func main() {
	o, err := parse(amd64.Boot().Cmdline)
	if err == nil {
		if o.role == "b" {
			err = arrive(o)
		} else {
			err = depart(o)
		}
	}
	if err != nil {
		fmt.Printf("probe: FAILED: %v\n", err)
		os.Exit(1)
	}
}
