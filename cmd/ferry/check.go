package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/boot/vmlinux"
	"ferry/crossing"
	"ferry/phys"
)

// checked is a crossing that was checked: the list of all checks, and what of it is known.
type checked struct {
	line     string // for the stage
	places   []placed
	review   *review
	briefing *briefing // nil if too little is known
	findings []finding
}

// A check is a crossing on its way through the list of checks. What a check finds out is there for the next ones; what is nil or
// empty is not known.
type check struct {
	cmd  *loadCmd
	host host
	has  func(...cpuid.FeatureID) bool // of the processor

	files  files
	kernel string // image that is to become a payload, in the place of one

	running    string // command line of the running kernel
	runs       producer
	line       line // of the stage
	options    crossing.Options
	understood bool   // the options were
	image      []byte // of the stage
	stage      *boot.Kernel
	archive    uint64 // bytes of the payload
	unmap      func()
	parts      *payload.Payload
	whole      bool           // the parts are what the manifest says
	trust      *payload.Trust // nil: the stage takes any payload
	signer     string
	scratch    []phys.Range
	next, back *subject
	review     *review
	places     []placed
	briefing   *briefing
}

// check goes through the list, and returns what there is to know together with everything that speaks against the load, as one
// error. After the kexec the stage could only halt or fall back.
func (c *loadCmd) check(h host, f files, has func(...cpuid.FeatureID) bool) (*checked, error) {
	return (&check{cmd: c, host: h, has: has, files: f}).run()
}

func (k *check) run() (*checked, error) {
	k.review, k.unmap = &review{forced: k.cmd.Force}, func() {}
	defer func() { k.unmap() }()
	var findings []finding
	var against []error
	err := undisturbed(k.cmd.Payload, func() error {
		findings, against = k.all(steps())
		return nil
	})
	if err != nil {
		return nil, in(classPayload, err)
	}
	return &checked{k.line.text, k.places, k.review, k.briefing, findings}, errors.Join(against...)
}

// checkTrust wants the payload to be one that the stage takes, and says who signed it.
func (k *check) checkTrust() (t *payload.Trust, signer string, err error) {
	if k.image != nil {
		if t, err = trustOf(k.image); err != nil {
			return nil, "", fmt.Errorf("stage %s: %w", k.cmd.Stage, err)
		}
	}
	if t != nil {
		comment, err := t.VerifyManifest(k.parts)
		if err != nil {
			return t, "", &problem{fmt.Sprintf("stage %s does not take payload %s", k.cmd.Stage, k.cmd.Payload), "sign it: minisign, then ferry seal", err}
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
		k.whole = true // as far as anybody says
		k.review.doubt(fmt.Sprintf("payload %s names no digests of its parts", k.cmd.Payload), "a damaged kernel is started, and everything is lost", "pack it with ferry pack")
		return nil
	}
	if _, err := partsOf(k.parts); err != nil {
		return &problem{fmt.Sprintf("payload %s is damaged", k.cmd.Payload), "pack it again, or copy it again", err}
	}
	k.whole = true
	return nil
}

// A subject is a kernel of the payload under examination.
type subject struct {
	what    string // in words
	info    payload.KernelInfo
	own     *string // its command line in the payload, nil: that of the stage
	line    line    // the one that it gets
	initrd  payload.File
	kernel  *boot.Kernel
	found   *vmlinux.Kernel
	openErr error // why nothing was found
}

// subject wants a kernel of the payload to be one that the stage starts on this machine.
func (k *check) subject(what string, image, opened, initrd payload.File, info payload.KernelInfo, own *string) (*subject, error) {
	cpu, err := k.host.processor()
	if err != nil {
		return nil, in(classHost, err)
	}
	s := &subject{what: what, info: info, own: own, line: k.line.passedOn(own), initrd: initrd}
	if s.kernel, s.found, s.openErr, err = k.review.form(what, image.Data, opened.Data, s.line.text, cpu); err != nil {
		return nil, fmt.Errorf("payload %s: %s: %w", k.cmd.Payload, what, err)
	}
	if err := s.kernel.Accepts(s.line.text, cpu.FiveLevel); errors.Is(err, boot.ErrCmdline) {
		k.review.doubt(fmt.Sprintf("the %s does not take the command line that it would get: %v", what, err), "it cannot be started, which is a failure",
			"give a shorter one with --cmdline, or ferry pack --cmdline")
	} else if err != nil {
		return nil, fmt.Errorf("payload %s: %s: %w", k.cmd.Payload, what, err)
	}
	return s, nil
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

// inPlace does something with the contents of the file of this name, which are mapped and not read. If the file is cut
// short meanwhile, that is an error.
func inPlace(name string, work func(contents []byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, unmap, err := mapped(f)
	if err != nil {
		return err
	}
	defer unmap()
	return undisturbed(name, func() error { return work(b) })
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
