package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/crossing"
	"ferry/phys"
)

// checked is a crossing that can be loaded, as far as that can be known before.
type checked struct {
	line     string // for the stage
	places   []placed
	review   *review
	briefing *briefing
}

// check looks at everything that can be known before the load: Ferry's words of the command line, both files and what
// the next kernel asks for, KHO, LUO, and the room in scratch. After the kexec the stage could only halt or fall back.
func (c *loadCmd) check(h host, f files) (*checked, error) {
	running, err := h.cmdline()
	if err != nil {
		return nil, err
	}
	l := c.line(running)
	options, err := crossing.ParseOptions(l.text)
	if err != nil {
		return nil, err
	}
	runs := h.producer()
	l = h.introducedRAM(runs.introduced(l, options))
	image, err := io.ReadAll(f.stage)
	if err != nil {
		return nil, err
	}
	stage, err := parseStage(c.Stage, image)
	if err != nil {
		return nil, err
	}
	if uint64(len(l.text))+1+elfcorehdr > stage.CmdlineMax {
		return nil, &problem{fmt.Sprintf("command line of %d bytes, at most %d", len(l.text), int64(stage.CmdlineMax)-1-elfcorehdr),
			"give a shorter one with --cmdline", nil}
	}
	archive, unmap, err := mapped(f.payload)
	if err != nil {
		return nil, err
	}
	defer unmap()
	k := &check{cmd: c, host: h, running: running, runs: runs, line: l, options: options, stage: stage, archive: uint64(len(archive)), review: &review{forced: c.Force}}
	err = undisturbed(c.Payload, func() error {
		if k.parts, err = payload.Open(archive); err != nil {
			return fmt.Errorf("payload %s: %w", c.Payload, err)
		}
		return k.all(image)
	})
	if err != nil {
		return nil, err
	}
	return &checked{k.line.text, k.places, k.review, k.briefing}, nil
}

// A check is one on its way.
type check struct {
	cmd      *loadCmd
	host     host
	running  string // command line of the running kernel
	runs     producer
	line     line // of the stage
	options  crossing.Options
	stage    *boot.Kernel
	archive  uint64 // bytes of the payload
	parts    *payload.Payload
	trust    *payload.Trust // nil: the stage takes any payload
	scratch  []phys.Range
	review   *review
	places   []placed
	briefing *briefing
}

// all is everything about the payload and the host.
func (k *check) all(image []byte) (err error) {
	m := k.parts.Manifest
	b := &briefing{m: m, from: k.runs.String(), gen: k.from(m), next: described(m.Kernel)}
	if k.trust, b.signer, err = k.checkTrust(image); err != nil {
		return err
	}
	if err := k.digests(); err != nil {
		return err
	}
	if err := k.host.checkLUO(); err != nil {
		return err
	}
	if k.scratch, err = k.host.scratch(); err != nil {
		return err
	}
	next, err := k.kernel(nextName, k.parts.Kernel, k.parts.Opened, k.parts.Initrd, m.Kernel, m.Cmdline, &b.nextLine)
	if err != nil {
		return fmt.Errorf("payload %s: next kernel: %w", k.cmd.Payload, err)
	}
	if m.Rollback != nil {
		b.back = described(m.Rollback.Kernel)
		back, err := k.kernel("rollback kernel", k.parts.RollbackKernel, payload.File{}, k.parts.RollbackInitrd, m.Rollback.Kernel, m.Rollback.Cmdline, &b.backLine)
		if err != nil {
			return fmt.Errorf("payload %s: rollback kernel: %w", k.cmd.Payload, err)
		}
		// It is placed before the next one, which then may take its place.
		if _, err := placeAll(k.scratch, k.stage, back, k.archive, 0, k.parts.RollbackInitrd); err != nil {
			return fmt.Errorf("rollback kernel: %w", err)
		}
	}
	pool := k.host.pool(k.from(m), crossing.ByName(m.Kernel.Generation))
	if k.places, err = placeAll(k.scratch, k.stage, next, k.archive, pool, k.parts.Initrd); err != nil {
		return err
	}
	b.outcome, b.reason = k.failure(m)
	b.unread = k.options.Mode == crossing.Pass
	if k.trust == nil && k.options.ExpectSessions > 0 {
		b.m.ExpectSessions = k.options.ExpectSessions
	}
	k.producer(m)
	if k.runs.gen == nil {
		k.review.back(m, b.gen, m.From)
	} else {
		k.review.back(m, b.gen, linuxOf(k.runs.release))
	}
	k.words(b.m)
	k.briefing = b
	if err := k.review.err(); err != nil {
		return err
	}
	if b.outcome == payload.OnErrorHalt && !k.cmd.AcceptHalt {
		return &problem{"after a failure the machine can only halt: " + b.reason,
			"pack a --rollback-kernel into the payload, or say --accept-halt", nil}
	}
	return nil
}

// checkTrust wants the payload to be one that the stage takes, and says who signed it.
func (k *check) checkTrust(image []byte) (t *payload.Trust, signer string, err error) {
	if t, err = trustOf(image); err != nil {
		return nil, "", fmt.Errorf("stage %s: %w", k.cmd.Stage, err)
	}
	if t != nil {
		comment, err := t.VerifyManifest(k.parts)
		if err != nil {
			return nil, "", &problem{fmt.Sprintf("stage %s does not take payload %s", k.cmd.Stage, k.cmd.Payload), "sign it: minisign, then ferry seal", err}
		}
		return t, fmt.Sprintf("key %v: %s", t.Key, comment), nil
	}
	if k.parts.Signature.Offset == 0 {
		return nil, "none; the stage has no key and asks for no signature", nil
	}
	s, err := minisign.ParseSignature(k.parts.Signature.Data)
	if err != nil {
		return nil, fmt.Sprintf("none: %v; the stage has no key and asks for no signature", err), nil
	}
	return nil, fmt.Sprintf("key %v by its own account, not verified: the stage has no key", s.Key), nil
}

// digests wants every part to be whole.
func (k *check) digests() error {
	if k.trust == nil && len(k.parts.Manifest.Parts) == 0 {
		k.review.doubt(fmt.Sprintf("payload %s names no digests of its parts", k.cmd.Payload), "a damaged kernel is started, and everything is lost", "pack it with ferry pack")
		return nil
	}
	if err := k.parts.Check(); err != nil {
		return &problem{fmt.Sprintf("payload %s is damaged", k.cmd.Payload), "pack it again, or copy it again", err}
	}
	return nil
}

// kernel wants a kernel of the payload to be what the manifest says, and to take what the crossing gives it on this
// machine. gets becomes its command line, in words.
func (k *check) kernel(what string, image, opened, initrd payload.File, info payload.KernelInfo, own *string, gets *string) (*boot.Kernel, error) {
	cpu, err := k.host.processor()
	if err != nil {
		return nil, err
	}
	r, l := k.review, k.line.passedOn(own)
	kernel, found, openErr, err := r.form(what, image.Data, opened.Data, l.text, cpu)
	if err != nil {
		return nil, err
	}
	if err := kernel.Accepts(l.text, cpu.FiveLevel); errors.Is(err, boot.ErrCmdline) {
		r.doubt(fmt.Sprintf("the %s does not take the command line that it would get: %v", what, err), "it cannot be started, which is a failure",
			"give a shorter one with --cmdline, or ferry pack --cmdline")
	} else if err != nil {
		return nil, err
	}
	k.shadow(what, kernel, found, uint64(len(initrd.Data)))
	r.claims(what, info, "the manifest", found, openErr)
	r.dropped(k.cmd, what, own)
	r.live(what, l.text, k.running)
	k.untold(what, l.text)
	r.memory(what, l.text, k.running, k.scratch, k.host.systemRAM())
	r.root(what, l.text, k.running, initrd.Data)
	r.initrd(what, initrd.Data, k.host.hadInitrd())
	r.builds(what, what != nextName, kernel, k.host)
	*gets = l.String()
	return kernel, nil
}

// from is what the kernel that hands over writes, as far as it is known, or else as the payload says; nil: nobody does.
func (k *check) from(m payload.Manifest) *crossing.Generation {
	if k.runs.gen != nil {
		return k.runs.gen
	}
	return generationOf(m.From)
}

// unread returns the generations of the kernel that runs and of the next one, and whether the next is known not to read what the first
// hands over.
func (k *check) unread(m payload.Manifest) (from, next *crossing.Generation, unread bool) {
	from, next = k.from(m), crossing.ByName(m.Kernel.Generation)
	return from, next, from != nil && next != nil && !next.ReadsFrom(from)
}

// failure returns what follows a failure, as the stage will decide it, and why if that is to halt.
func (k *check) failure(m payload.Manifest) (outcome, reason string) {
	signed := k.trust != nil
	chosen := m.OnError != "" || !signed && (k.options.OnError != "" || k.options.Mode == crossing.Pass)
	outcome = string(k.options.Outcome(m, signed))
	from, next, unread := k.unread(m)
	switch {
	case outcome == payload.OnErrorHalt && m.OnError == outcome:
		reason = "the payload says so"
	case outcome == payload.OnErrorHalt:
		reason = "the command line says so"
	case outcome == payload.OnErrorRollback && m.Rollback == nil:
		outcome, reason = payload.OnErrorHalt, "there is no rollback kernel to go back to"
		k.review.doubt("the command line says ferry.on-error=rollback, and the payload has no rollback kernel", "any failure halts the machine",
			"pack one, or say something else")
	case outcome == payload.OnErrorPass && unread && chosen:
		k.review.doubt(fmt.Sprintf("after a failure the next kernel, of generation %s, gets the handover of generation %s as it is", next.Name, from.Name),
			"a failure loses everything that is preserved", "pack a rollback kernel, or say cold or halt")
	case outcome == payload.OnErrorPass && unread:
		outcome = payload.OnErrorHalt
		reason = fmt.Sprintf("the next kernel, of generation %s, does not read what one of generation %s hands over, and there is no rollback kernel", next.Name, from.Name)
	}
	return outcome, reason
}

// words looks at the rest of Ferry's own words.
func (k *check) words(m payload.Manifest) {
	if d, least := k.options.Deadline, leastDeadline(k.archive); d > 0 && d < least {
		k.review.doubt(fmt.Sprintf("the command line says ferry.deadline=%v, and with a payload of %s the stage may need %v", d, size(k.archive), least),
			"a crossing that goes well counts as failed", "give it more time, or leave the word out")
	}
	if from, next, unread := k.unread(m); unread && k.options.Mode == crossing.Pass {
		k.review.doubt(fmt.Sprintf("the command line says ferry.mode=pass, and the next kernel, of generation %s, does not read the handover of generation %s as it is", next.Name, from.Name),
			lostAll, "leave the word out")
	}
	if k.trust != nil && k.options.Mode == crossing.Pass && m.OnError != payload.OnErrorPass {
		k.review.doubt("the command line says ferry.mode=pass, and nobody signed that", "that is a failure", "leave the word out, or pack with --on-error pass")
	}
	if m.ExpectSessions > 0 && k.options.Mode == crossing.Pass {
		k.review.doubt(fmt.Sprintf("the command line says ferry.mode=pass, and nobody counts the %d sessions then that have to come in", m.ExpectSessions),
			"that is a failure", "leave one of them out")
	}
	if k.trust != nil && (k.options.OnError != "" || k.options.ExpectSessions > 0) {
		k.review.warn("the payload is signed: ferry.on-error= and ferry.expect-sessions= on the command line change nothing")
	}
}

// leastDeadline is what the stage may need for itself on a slow processor: two seconds, and to read, compare and copy so many
// bytes of a payload.
func leastDeadline(archive uint64) time.Duration {
	const perSecond = 100 << 20
	return (2*time.Second + time.Duration(archive)*time.Second/perSecond).Round(100 * time.Millisecond)
}

// mapped returns the contents of a file in place, and what gives them back.
func mapped(f *os.File) (b []byte, unmap func(), err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, func() {}, err
	}
	if b, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return b, func() { unix.Munmap(b) }, nil
}

// undisturbed does something with a file that is mapped. If the file is cut short meanwhile, that is an error.
func undisturbed(name string, work func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			err = &problem{name + " was cut short while it was read", "wait until it is whole", nil}
		default:
			panic(fault)
		}
	}()
	return work()
}
