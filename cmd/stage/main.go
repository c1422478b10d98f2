// Command stage is Ferry itself: the image that runs between two kernels. Linux A
// starts it with kexec_file_load, with the payload as its initrd.
package main

import (
	"fmt"
	"time"

	"ferry/board/amd64"
	"ferry/board/record"
	"ferry/boot"
	"ferry/crossing"
)

func main() {
	inMain, usedInMain := amd64.TSC(), amd64.MemoryUse().Now
	info := amd64.Boot()
	console := amd64.Console{}
	fmt.Fprintf(console, "ferry: stage at %v, started with %q\n", info.Stage, info.Cmdline)
	jump, err := crossing.Run(&crossing.Machine{
		Memory:     amd64.Memory(),
		ZeroPage:   info.ZeroPage,
		Stage:      info.Stage,
		Processor:  boot.Processor{FiveLevel: amd64.FiveLevel(), HasFiveLevel: amd64.HasFiveLevel(), Encrypted: amd64.Encryption() != ""},
		Encryption: amd64.Encryption(),
		Nanotime:   amd64.Nanotime,
		Random:     amd64.Random,
		Console:    console,
		Watch:      &watch{},
		Trust:      amd64.Trust(),

		MemoryUsed: func() uint64 { return amd64.MemoryUse().Peak },
		Figures: func() []string {
			hz, source := amd64.Clock()
			use := amd64.MemoryUse()
			return []string{
				fmt.Sprintf("entered at tick %d, %d ticks to main, %d to here, %.3f MHz by %v",
					amd64.EntryTSC(), inMain-amd64.EntryTSC(), amd64.TSC()-amd64.EntryTSC(), float64(hz)/1e6, source),
				fmt.Sprintf("memory used %d KiB of %d KiB, %d KiB in main", use.Peak>>10, use.Total>>10, usedInMain>>10),
			}
		},
	})
	if err == nil {
		err = amd64.Jump(jump.Entry, jump.ZeroPage, jump.Wipe...)
		fmt.Fprintf(console, "ferry: the next kernel cannot be entered: %v\n", err)
	}
	amd64.Exit(1) // starts the fallback, if there is one
}

// watch lets the board end a crossing that does not end by itself.
type watch struct{ warned bool } // that there is no timer

// Fallback implements [crossing.Watch].
func (*watch) Fallback(j *crossing.Jump) error {
	if j == nil {
		amd64.ClearFallback()
		return nil
	}
	return amd64.SetFallback(j.Name, j.Entry, j.ZeroPage, j.Wipe...)
}

// Deadline implements [crossing.Watch].
func (w *watch) Deadline(d time.Duration) {
	if !amd64.SetDeadline(d) && d > 0 && !w.warned {
		fmt.Fprintln(amd64.Console{}, "ferry: no timer on this machine: no deadline is kept")
		w.warned = true
	}
}

// Step implements [crossing.Watch].
func (*watch) Step(name string) { amd64.SetStep(name) }

// Failed implements [crossing.Watch].
func (*watch) Failed(f *crossing.Failure) {
	amd64.SetFailure(record.Failure{Step: f.Step, Object: f.Object, Addr: f.Addr, Found: f.Found, Want: f.Want, Hint: f.Hint})
}
