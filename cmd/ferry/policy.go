package main

import (
	"fmt"

	"ferry/boot/payload"
	"ferry/crossing"
)

// rollbackFlags describe the kernel to go back to.
type rollbackFlags struct {
	Kernel     string  `type:"existingfile" placeholder:"FILE" help:"The kernel that will hand over: after a failure it boots again, with everything that it handed over."`
	Initrd     string  `type:"existingfile" placeholder:"FILE" help:"Its initrd. Default: none."`
	Cmdline    *string `help:"Its command line. Default: as that of the next kernel."`
	Generation string  `placeholder:"NAME" help:"Generation of formats that it reads. Default: what its image says."`
}

// check refuses flags about a kernel that is not there.
func (r rollbackFlags) check() error {
	if r.Kernel == "" && (r.Initrd != "" || r.Cmdline != nil || r.Generation != "") {
		return usage("--rollback-initrd, --rollback-cmdline and --rollback-generation need --rollback-kernel")
	}
	return nil
}

// generationOf returns the generation that a release or a generation's name stands for, nil if none is known.
func generationOf(from string) *crossing.Generation {
	if g := crossing.ByName(from); g != nil {
		return g
	}
	return crossing.ByRelease(from)
}

// checkFrom wants the hint to be one that the stage understands, or none.
func checkFrom(from string) error {
	if from == "" || generationOf(from) != nil {
		return nil
	}
	return usage(fmt.Sprintf("--from %s: want a release such as 6.17.13, or a generation, as ferry abi lists them", from))
}

// policy decides what follows a failure, if the manifest says what is known, and refuses what cannot work. The note
// is for the operator.
func (r *review) policy(onError string, m payload.Manifest) (outcome, note string, err error) {
	from, name, next := generationOf(m.From), m.From, crossing.ByName(m.Kernel.Generation)
	if m.From == "" && m.Rollback != nil {
		from, name = crossing.ByName(m.Rollback.Kernel.Generation), "the rollback kernel" // as it should be
	}
	differ := from != nil && next != nil && !next.ReadsFrom(from)
	switch onError {
	case payload.OnErrorRollback:
		if m.Rollback == nil {
			return "", "", in(classUsage, &problem{"--on-error rollback without a kernel to go back to", "give it with --rollback-kernel", nil})
		}
	case payload.OnErrorPass:
		if differ {
			r.doubt(fmt.Sprintf("--on-error pass: the next kernel reads generation %s, but would get the handover of %s, %v, as it is", next.Name, name, from),
				"a failure loses everything that is preserved", "go back with --rollback-kernel, or say cold or halt")
		}
	case "":
		switch {
		case m.Rollback != nil:
			onError = payload.OnErrorRollback
		case differ:
			onError = payload.OnErrorHalt
			note = fmt.Sprintf("the next kernel could not take the handover of %s as it is: give a --rollback-kernel", name)
		}
	}
	r.back(m, from, name)
	return onError, note, nil
}

// back wants the kernel to go back to to read what the one that hands over writes, which is of generation from, nil if
// that is not known, and has a name.
func (r *review) back(m payload.Manifest, from *crossing.Generation, name string) {
	if m.Rollback == nil || from == nil {
		return
	}
	if back := crossing.ByName(m.Rollback.Kernel.Generation); back != nil && !back.ReadsFrom(from) {
		r.doubt(fmt.Sprintf("the rollback kernel reads generation %s, but would get the handover of %s, %v, as it is", back.Name, name, from),
			"a failure loses everything that is preserved", "take the kernel that will hand over")
	}
}
