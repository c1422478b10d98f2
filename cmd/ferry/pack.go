package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/crossing"
	"ferry/linker"
	"ferry/phys"
)

type packCmd struct {
	Kernel     string        `required:"" type:"existingfile" placeholder:"FILE" help:"The next kernel, a bzImage."`
	Initrd     string        `type:"existingfile" placeholder:"FILE" help:"Its initrd, as it is. Default: none."`
	Output     string        `required:"" short:"o" type:"path" placeholder:"FILE" help:"Payload to write; - is standard output."`
	Cmdline    *string       `help:"Command line of the next kernel. Default: what the stage was given, less the words that begin with ferry."`
	Stage      string        `type:"existingfile" placeholder:"FILE" help:"The stage that will be loaded, ferry.bzimage, for the sum that is printed. Default: one that was linked with the default size."`
	Room       uint64        `placeholder:"MiB" help:"MiB of the largest scratch area of the host: refuse what does not fit."`
	Generation string        `placeholder:"NAME" help:"Generation of formats that the next kernel reads (ferry abi lists them). Default: what its image says; one that does not say is refused."`
	From       string        `placeholder:"RELEASE" help:"Release or generation of the kernel that will hand over, to refuse the handover of any other. Default: any; ferry load names the kernel that runs to the stage, and memory has the last word."`
	Form       formFlags     `embed:""`
	Rollback   rollbackFlags `embed:"" prefix:"rollback-"`
	OnError    string        `placeholder:"OUTCOME" enum:",rollback,pass,cold,halt" default:"" help:"What follows a failure: rollback (the kernel before boots with the untouched handover), pass (the next kernel boots with it), cold (it boots without, state is lost) or halt. Default: rollback if there is a kernel for it, halt if the next kernel is known not to read the handover; else what the stage's command line says, which counts only for an unsigned payload."`
	Serial     uint64        `help:"Number of this payload: raise it with each, if images demand a least one."`
	Force      bool          `help:"Pack what contradicts its own image, or loses the state after a failure: what will be lost is printed."`
	Expect     uint64        `name:"expect-sessions" placeholder:"N" help:"Sessions that have to come in at least: fewer are a failure, after which the policy is followed. Default: any number."`
	Manifest   string        `type:"path" placeholder:"FILE" help:"Write the manifest to this file as well, - for standard output, to be signed: minisign -Sm FILE; then ferry seal."`
}

// maxPart is the most that one part of a payload can have: newc's sizes are 32 bits wide.
const maxPart = 1<<32 - 1

// Run writes the payload.
func (c *packCmd) Run() error { return c.pack(os.Stdout) }

func (c *packCmd) pack(out io.Writer) error {
	if err := errors.Join(checkFrom(c.From), c.Rollback.check()); err != nil {
		return err
	}
	files, err := c.outputs()
	if err != nil {
		return err
	}
	r := &review{forced: c.Force}
	kernels, err := c.kernels(r)
	if err != nil {
		return err
	}
	for _, k := range kernels {
		defer k.close()
	}
	form := kernels[0].open(c.Form, c.Cmdline)
	m, parts := c.manifest(kernels)
	reason := ""
	if m.OnError, reason, err = r.policy(c.OnError, m); err != nil {
		return err
	}
	if err := c.expectation(m); err != nil {
		return err
	}
	r.packed("next kernel", kernels[0], c.Cmdline)
	for _, back := range kernels[1:] {
		r.packed("rollback kernel", back, c.Rollback.Cmdline)
	}
	if c.Manifest != "" && c.Cmdline == nil {
		r.warn("the command line is not in the manifest, so that no signature covers it: give it with --cmdline")
	}
	if err := r.err(); err != nil {
		return err
	}
	stage := &boot.Kernel{InitSize: linker.InitSize, Alignment: linker.Alignment, PrefAddress: linker.PrefAddress}
	if c.Stage != "" {
		if stage, err = openStage(c.Stage); err != nil {
			return err
		}
	}
	archive, err := pack.New(m, parts)
	if err != nil {
		return fmt.Errorf("payload %s: %w", c.Output, err)
	}
	most, err := c.room(stage, kernels, archive.Size())
	if err != nil {
		return err
	}
	if err := write(out, archive, kernels, files); err != nil {
		return err
	}
	say := linePrinter(text(out, files...))
	say("next kernel is packed", form)
	for _, n := range most {
		say(n.What, size(n.Size))
	}
	say("scratch that a crossing takes", fmt.Sprintf("%s, %s", size(total(most)), advice(most)))
	r.print(say)
	c.briefing(m, kernels, reason).print(say)
	return nil
}

// kernels reads the next kernel, and the one to go back to if there is one.
func (c *packCmd) kernels(r *review) ([]*packed, error) {
	next, err := r.readKernel(c.Kernel, c.Initrd, c.Generation, "--generation")
	if err != nil || c.Rollback.Kernel == "" {
		return []*packed{next}, err
	}
	back, err := r.readKernel(c.Rollback.Kernel, c.Rollback.Initrd, c.Rollback.Generation, "--rollback-generation")
	if err != nil {
		return nil, fmt.Errorf("to go back to: %w", err)
	}
	return []*packed{next, back}, nil
}

// manifest describes what is packed, but for what follows a failure.
func (c *packCmd) manifest(kernels []*packed) (payload.Manifest, pack.Files) {
	next := kernels[0]
	m := payload.Manifest{Serial: c.Serial, Kernel: next.info, From: c.From, Cmdline: c.Cmdline, ExpectSessions: c.Expect}
	parts := pack.Files{Opened: next.opened, InitrdFile: next.initrd.section()}
	if next.opened == nil || c.Form.WithCompressed {
		parts.Kernel = next.image
	}
	for _, back := range kernels[1:] {
		m.Rollback = &payload.Rollback{Kernel: back.info, Cmdline: c.Rollback.Cmdline}
		parts.RollbackKernel, parts.RollbackInitrdFile = back.image, back.initrd.section()
	}
	return m, parts
}

// packed warns of what looks wrong wherever the payload will be loaded. own is the kernel's command line in the payload.
func (r *review) packed(what string, k *packed, own *string) {
	r.initrd(what, k.initrd.begin(), false)
	if own == nil {
		return
	}
	r.root(what, *own, "", k.initrd.begin())
	for _, name := range []string{"kho", "liveupdate"} {
		if !enabled(*own, name) {
			r.warn("the command line of the %s has no %s=on: ferry load refuses it if the running kernel has that", what, name)
		}
	}
}

// expectation wants the next kernel to be able to have sessions if some are expected.
func (c *packCmd) expectation(m payload.Manifest) error {
	if g := crossing.ByName(m.Kernel.Generation); c.Expect > 0 && g.LUO == nil {
		return in(classUsage, &problem{fmt.Sprintf("--expect-sessions %d: kernels of generation %v have no sessions", c.Expect, g), "leave it out", nil})
	}
	return nil
}

// briefing says what the payload is for.
func (c *packCmd) briefing(m payload.Manifest, kernels []*packed, reason string) *briefing {
	line := func(own *string) string {
		if own == nil {
			return "that of the stage, less the words that begin with ferry.: what ferry load gives it"
		}
		return fmt.Sprintf("%q, in the payload", *own)
	}
	b := &briefing{m: m, from: handsOver(m.From), gen: generationOf(m.From), nextLine: line(m.Cmdline), outcome: m.OnError, reason: reason, signer: "none yet"}
	describe := func(k *packed) string { return linuxOf(k.info.Release) + ", generation " + k.reads }
	b.next = describe(kernels[0])
	if m.Rollback != nil {
		b.back, b.backLine = describe(kernels[1]), line(m.Rollback.Cmdline)
	}
	if b.outcome == "" {
		b.outcome, b.reason = payload.OnErrorPass, "or what the stage's command line says, as long as nobody signs the payload"
	}
	return b
}

// room returns what a crossing takes with the larger of the kernels, of which one at a time is placed, and refuses what
// does not fit if the operator said how much there is.
func (c *packCmd) room(stage *boot.Kernel, kernels []*packed, archive uint64) (most []boot.Need, err error) {
	for _, k := range kernels {
		for _, form := range k.forms(c.Form) {
			all := needs(stage, form, archive, leastPool, 0)
			if c.Room != 0 {
				area, _ := phys.Span(256*mib, c.Room*mib)
				if _, err := place([]phys.Range{area}, all); err != nil {
					return nil, fmt.Errorf("kernel %s of %s (init_size %s) and initrd of %s do not fit in %d MiB: %w", k.name,
						size(uint64(len(k.image))), size(form.InitSize), size(uint64(k.initrd.size())), c.Room, err)
				}
			}
			if total(all) > total(most) {
				most = all
			}
		}
	}
	return most, nil
}

// outputs are the payload, and the manifest if that is asked for.
func (c *packCmd) outputs() (files []*output, err error) {
	for _, o := range []input{{"--output", c.Output}, {"--manifest", c.Manifest}} {
		if o.name == "" {
			continue
		}
		file, err := newOutput(o.flag, o.name, input{"--kernel", c.Kernel}, input{"--initrd", c.Initrd},
			input{"--rollback-kernel", c.Rollback.Kernel}, input{"--rollback-initrd", c.Rollback.Initrd}, input{"--stage", c.Stage})
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// write writes the payload, and its manifest if there is a second file. An initrd that changed meanwhile is not what the manifest
// says: nothing is written.
func write(std io.Writer, archive *pack.Archive, kernels []*packed, files []*output) error {
	files[0].from = writerTo(func(w io.Writer) (int64, error) {
		n, err := archive.WriteTo(w)
		for _, k := range kernels {
			if err == nil {
				err = k.initrd.unchanged()
			}
		}
		return n, err
	})
	for _, manifest := range files[1:] {
		manifest.data = archive.Manifest()
	}
	return replaced(std, files...)
}

// writerTo makes a function an [io.WriterTo].
type writerTo func(w io.Writer) (int64, error)

// WriteTo implements [io.WriterTo].
func (f writerTo) WriteTo(w io.Writer) (int64, error) { return f(w) }
