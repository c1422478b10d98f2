// Package crossing takes a handover from one Linux kernel to the next: it reads
// what started the stage, restores the state that came in, writes it again for
// the kernel that follows, and places that kernel. It is plain Go over
// [phys.Memory] and runs on a host as well as on metal.
//
// Everything that comes in - zero page, handover, payload - was written by
// someone else and is proved by the packages below before it is used. Ferry writes
// to scratch alone: the next kernel goes there, new pages are cut off it, and which
// of the two handovers is handed over is decided by one address at the very end. So every failure on the way leaves the
// old state as it was, and [Options.OnError] says what to do with it.
package crossing

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/kho"
	"ferry/phys"
)

// Machine is what a crossing runs on.
type Machine struct {
	Memory   phys.Memory
	ZeroPage phys.Addr    // of the boot protocol, as the stage was started with
	Stage    phys.Range   // the memory that this code runs in
	Nanotime func() int64 // a clock that does not go back
	Random   func([]byte) // fills with entropy
	Console  io.Writer    // where the report goes

	boot.Processor
	Encryption string // what encrypts memory for the kernels alone, such as "AMD SEV"; empty: nothing

	MemoryUsed func() uint64   // bytes of the stage's memory used so far; nil: nobody knows
	Figures    func() []string // what the machine itself reports at the end; nil: nothing

	// Trust is the area of the stage's image that says whose payloads it takes, see
	// [payload.ParseTrust]; no bytes are an image without a key.
	Trust []byte

	// Watch, where it is not nil, keeps an eye on the crossing.
	Watch Watch
}

// Watch is what a machine does for a crossing that may end by something else than
// a return from Run: a fault in Ferry itself, memory that is used up, a loop.
type Watch interface {
	// Fallback names where the machine then goes on: a kernel that is placed
	// already, nil for none, where it stands still.
	Fallback(*Jump) error
	// Deadline says how long the crossing may take from now on; 0 is any time. When
	// it has passed, the machine goes on at the fallback.
	Deadline(time.Duration)
	// Step names the part of the crossing that begins, for the machine's report.
	Step(name string)
}

// Jump is where the next kernel starts.
type Jump struct {
	Name     string       // what it is, for the console: at most 63 bytes
	Entry    phys.Addr    // its 64-bit entry
	ZeroPage phys.Addr    // what RSI holds there
	Wipe     []phys.Range // memory outside the stage to clear before: it may hold secrets
}

// passage is one crossing on its way.
type passage struct {
	m       *Machine
	memory  phys.Memory // that of the machine; once scratch is known, nothing else can be written
	params  *boot.Params
	damage  error // what of params could not be read: a handover may be hidden there
	options Options
	payload *payload.Payload
	signed  bool // the manifest is that of the image's key
	none    bool // no handover came in
	next    boot.Next
	way     wayOut
	ahead   placed
	written []phys.Range // for any kernel so far
	pool    phys.Ranges  // new pages, of no use as long as the new handover is not handed over
	handed  bool         // it is
	target  *target
	came    *handover // nil as long as none was found sound
	report  Report

	badNext, badRollback error // why a kernel of the payload must not be started
}

// Run takes the handover across and places the next kernel; the caller jumps.
// It prints a report. An error means that there is nothing to jump to: the
// caller halts. It wraps why, and all that the report says. The incoming handover
// is untouched in any case.
func Run(m *Machine) (Jump, error) {
	p := &passage{m: m, memory: m.Memory, target: &target{}}
	p.report.start(m.Nanotime)
	jump, err := p.run()
	if err != nil {
		p.report.halting(err)
		if said := p.report.failed(); !errors.Is(said, err) {
			err = errors.Join(err, said)
		}
		jump = Jump{}
	} else if warning := p.warning(); warning != "" && len(p.report.verdict) == 0 {
		p.report.last(warning)
	}
	p.report.print(m.Console, m.Figures)
	return jump, err
}

// run is Run without the report. Its error is why there is no kernel to start,
// which the report may say already.
func (p *passage) run() (Jump, error) {
	if err := p.read(); err != nil {
		return Jump{}, err
	}
	p.report.fail(p.encrypted())
	raw, err := p.params.KHO()
	p.report.fail(err)
	if raw == nil && err == nil && p.damage == nil {
		p.none = true
		return p.bare()
	}
	p.target.beyond = p.options.BeyondLimits
	p.report.fail(p.target.aim(p.payload.Manifest))
	p.report.fail(p.target.comesFrom(p.payload.Manifest.From, p.options.From))
	p.prepare(raw)
	p.hurry()
	if p.report.failed() == nil && p.options.Mode == Cross {
		var data kho.Data
		err := guarded(func() (err error) {
			data, err = p.translate(raw)
			return err
		})
		if err == nil {
			var jump Jump
			if jump, err = p.handOver(data); err == nil {
				return jump, nil
			}
		}
		p.report.fail(err)
	}
	return p.fallBack()
}

// step ends one part of the crossing and begins the next.
func (p *passage) step(done, next string) {
	p.report.step(done)
	if p.m.Watch != nil {
		p.m.Watch.Step(next)
	}
}

// read collects what started the stage, and the payload. Damage in the
// setup_data list is no reason to stop here: what follows from it is the
// policy's to say.
func (p *passage) read() error {
	var err error
	p.params, err = boot.Read(p.memory, p.m.ZeroPage)
	if err != nil && (p.params == nil || p.params.Initrd.Empty()) {
		return err
	}
	p.damage = err
	p.report.fail(err)
	p.options, err = ParseOptions(p.params.Cmdline)
	p.report.fail(err)
	if p.m.Watch != nil {
		p.m.Watch.Deadline(p.options.preparing())
	}
	p.step("boot", "payload")

	if p.params.Initrd.Empty() {
		return fmt.Errorf("no payload: put the archive that `ferry pack` writes into the place of the initrd")
	}
	initrd, err := p.memory.View(p.params.Initrd.Start, p.params.Initrd.Size())
	if err != nil {
		return phys.In("payload", p.params.Initrd.Start, err)
	}
	if p.payload, err = payload.Open(initrd); err == nil {
		err = p.trust()
	}
	if err != nil {
		return phys.In("payload", p.params.Initrd.Start, err)
	}
	m := p.payload.Manifest
	p.next = p.kernel(p.payload.Kernel, p.payload.Initrd, m.Cmdline)
	p.next.Opened = p.part(p.payload.Opened)
	p.report.Next = m.Kernel.Release
	p.step("digests", "scratch")
	return nil
}

// ErrEncrypted is memory that its processor encrypts for the kernels alone: what
// they hand over reads as noise here, and what is written here does there.
var ErrEncrypted = errors.New("encrypted memory")

// encrypted refuses to cross where the machine, or what it was started with, says
// that memory is encrypted.
func (p *passage) encrypted() error {
	bad := func(at phys.Addr, by string) error {
		return &phys.Error{Object: "memory", Addr: at, Found: "encrypted: " + by, Want: "memory that the stage can read",
			Hint: "update with a plain kexec, between kernels of one generation", Err: ErrEncrypted}
	}
	if p.m.Encryption != "" {
		return bad(p.m.Stage.Start, p.m.Encryption)
	}
	for _, n := range p.params.SetupData {
		typ, _, indirect := n.Indirect()
		if n.Type == boot.SetupCCBlob || indirect && typ == boot.SetupCCBlob {
			return bad(n.Addr, fmt.Sprintf("a setup_data node of type %d, which confidential guests have", boot.SetupCCBlob))
		}
	}
	return nil
}

// trust proves the payload: who made it, if the stage's image asks for that, and
// that it is whole. An error is that nothing of the payload may be started; damage
// to one of its kernels alone is left for later.
func (p *passage) trust() error {
	var t *payload.Trust
	if len(p.m.Trust) > 0 {
		var err error
		if t, err = payload.ParseTrust(p.m.Trust); err != nil {
			return err
		}
	}
	if t == nil {
		p.report.note("this image has no key: it starts whatever payload it is given, if that is whole")
	} else {
		comment, err := t.VerifyManifest(p.payload)
		if err != nil {
			return err
		}
		p.signed = true
		p.report.note(fmt.Sprintf("payload signed by key %v: %s", t.Key, cut(comment, maxReleaseText)))
	}
	p.step("payload", "digests")
	p.whole()
	if p.signed && p.options.Mode == Pass && p.payload.Manifest.OnError != payload.OnErrorPass {
		p.report.fail(errors.New("command line: ferry.mode=pass: nobody signed that a handover goes on unread (on-error=pass in the manifest)"))
	}
	if n := p.expects(); n > 0 && p.options.Mode == Pass {
		p.report.fail(fmt.Errorf("command line: ferry.mode=pass: nobody counts the %d sessions that have to come in (expect-sessions)", n))
	}
	return nil
}

// whole compares the parts of the payload with the digests in its manifest, each
// once. A next kernel that is damaged is a failure; one to go back to is none as
// long as nothing else is wrong.
func (p *passage) whole() {
	if !p.signed && len(p.payload.Manifest.Parts) == 0 {
		p.report.note("THE PAYLOAD NAMES NO DIGESTS: nobody knows whether the kernel that is started is whole; ferry pack names them")
		return
	}
	p.badNext = errors.Join(p.payload.CheckPart(payload.KernelName), p.payload.CheckPart(payload.OpenedName), p.payload.CheckPart(payload.InitrdName))
	p.report.fail(p.badNext)
	for _, name := range []string{payload.RollbackKernelName, payload.RollbackInitrdName} {
		if err := p.payload.CheckPart(name); err != nil {
			p.badRollback = errors.Join(p.badRollback, err)
			p.report.note(fmt.Sprintf("THERE IS NO WAY BACK: %v", err))
		}
	}
}

// kernel returns a kernel of the payload with what it is to be handed, but for the
// handover. Without a command line of its own it gets that of the stage.
func (p *passage) kernel(kernel, initrd payload.File, cmdline *string) boot.Next {
	next := boot.Next{
		Kernel:    p.part(kernel),
		Initrd:    p.part(initrd),
		Cmdline:   boot.Without(p.params.Cmdline, prefix),
		Seed:      make([]byte, 32),
		Random:    p.m.Random,
		Processor: p.m.Processor,
	}
	if cmdline != nil {
		next.Cmdline = *cmdline
	}
	p.m.Random(next.Seed)
	return next
}

// part returns a file of the payload together with where it lies.
func (p *passage) part(f payload.File) boot.Part {
	if len(f.Data) == 0 {
		return boot.Part{}
	}
	return boot.Part{Bytes: f.Data, At: p.params.Initrd.Start + phys.Addr(f.Offset)}
}

// occupied returns the memory of scratch in which no new page may lie: what is held,
// and the kernels that are placed.
func (p *passage) occupied() phys.Ranges {
	occupied := p.held()
	for _, plan := range []*boot.Plan{p.way.plan, p.ahead.plan} {
		if plan != nil {
			occupied = occupied.Add(plan.Ranges()...)
		}
	}
	return occupied
}

// held returns the memory outside the handover in which nothing new may be
// written: where this code runs and what it was started with.
func (p *passage) held() phys.Ranges {
	in := p.params
	held := append(phys.Ranges{p.m.Stage, in.Initrd, in.CmdlineAt, phys.Block{Addr: in.ZeroPage}.Range()}, in.InPlace()...)
	for _, n := range in.SetupData {
		held = append(held, n.Range())
	}
	return phys.NewRanges(held...)
}

// guarded calls work, with a panic or a memory fault on the way as an error: a
// defect of Ferry's own ends as the policy says, like any other failure.
func guarded(work func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a defect in Ferry, please report it: %v\n%s", r, debug.Stack())
		}
	}()
	return work()
}
