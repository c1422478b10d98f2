package crossing

import (
	"fmt"
	"strings"

	"ferry/boot"
	"ferry/phys"
)

// cold returns the next kernel as it boots without its state. That has nothing to
// lose by a command line that is too long for it: the kernel gets what fits.
func (p *passage) cold() boot.Next {
	next := p.next
	k, err := boot.ParseKernel(next.Kernel.Bytes)
	if err != nil || uint64(len(next.Cmdline)) <= k.CmdlineMax {
		return next // an error is found when the kernel is placed
	}
	line := next.Cmdline[:k.CmdlineMax+1]
	line = line[:max(strings.LastIndexByte(line, ' '), 0)]
	p.report.note(fmt.Sprintf("the command line has %d bytes, the next kernel takes %d: it boots without %s",
		len(next.Cmdline), k.CmdlineMax, phys.Quote(next.Cmdline[len(line):])))
	next.Cmdline = line
	return next
}
