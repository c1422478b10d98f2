package record

import (
	"fmt"
	"strings"
	"time"

	"ferry/phys"
)

// registers are the names of Layout.General, in its order.
var registers = [16]string{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

// String describes the record in lines, without the end of the console.
func (r *Record) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("record", "at %v, of the stage [%#x-%#x]", r.At, r.StageStart, r.StageStart+r.StageSize-1)
	line("outcome", "%v", Outcome(r.Outcome))
	step := "none named"
	if s := r.StepName(); s != "" {
		step = fmt.Sprintf("%s, begun %v after entry", phys.Quote(s), r.since(r.StepTSC))
	}
	line("step", "%s", step)
	if f, ok := r.CrossingFailure(); ok {
		line("failed", "%s in step %s", f, phys.Quote(f.Step))
	}
	if r.FallbackEntry != 0 {
		line("fallback", "entry %#x, zero page %#x", r.FallbackEntry, r.FallbackZeroPage)
	}
	if r.Failures == 0 {
		return b.String()
	}
	line("cause", "%v, %v after entry", Cause(r.Cause), r.since(r.FailTSC))
	line("error", "%s", phys.Quote(r.Message()))
	switch Cause(r.Cause) {
	case CauseExit:
		line("exit code", "%d", r.ExitCode)
	case CauseDeadline: // an interrupt: the registers belong to nothing that went wrong
	default:
		line("exception", "vector %d, error code %#x, cr2 %#x", r.Vector, r.Error, r.CR2)
		line("at", "rip %#x, rflags %#x, fs %#x", r.RIP, r.RFLAGS, r.FSBase)
		for i := 0; i < len(registers); i += 4 {
			var row []string
			for n := range 4 {
				row = append(row, fmt.Sprintf("%s %#x", registers[i+n], r.General[i+n]))
			}
			line("", "%s", strings.Join(row, ", "))
		}
	}
	for i, pc := range r.Stack {
		if pc != 0 {
			line("called by", "%d: %#x", i, pc)
		}
	}
	if r.Failures > 1 {
		s := r.Second
		line("second", "vector %d, error code %#x, rip %#x, rsp %#x, cr2 %#x, %v after entry", s[0], s[1], s[2], s[3], s[4], r.since(s[5]))
	}
	return b.String()
}

// since returns the time from the stage's entry to a time stamp.
func (r *Record) since(tsc uint64) time.Duration {
	if r.Hz == 0 || tsc < r.EntryTSC {
		return 0
	}
	return time.Duration(float64(tsc-r.EntryTSC) / float64(r.Hz) * 1e9).Round(time.Microsecond)
}
