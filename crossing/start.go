package crossing

import (
	"errors"
	"fmt"

	"ferry/boot"
	"ferry/boot/cmdline"
	"ferry/boot/payload"
	"ferry/kho"
	"ferry/phys"
)

// Started is what the stage was started with, except for the handover: signed or not,
// and proved as far as it is used.
type Started struct {
	m       *Machine
	params  *boot.Params
	damage  error // what of params could not be read: a handover may be hidden there
	options Options
	payload *payload.Payload
	signed  bool // the manifest is signed by the image's key
	policy  Outcome

	next     candidate
	rollback *candidate // nil: the payload has none
	from     producer   // the kernel that hands over
}

// candidate is a kernel of the payload, with what it is to be handed except for the
// handover.
type candidate struct {
	boot.Next
	release string      // as the manifest says
	gen     *Generation // nil: unknown
	bad     error       // why it must not be started
}

// ErrEncrypted is memory that its processor encrypts for the kernels only: what
// they hand over reads as noise here, and what is written here does there.
var ErrEncrypted = errors.New("encrypted memory")

// start reads what started the stage, and the payload. An error means that there is
// no kernel to start at all. Damage to the setup_data list or to one kernel is
// reported instead, and the policy says what follows.
func start(m *Machine, r *Report) (*Started, error) {
	s := &Started{m: m}
	var err error
	s.params, err = boot.Read(m.Memory, m.ZeroPage)
	if err != nil && (s.params == nil || s.params.Initrd.Empty()) {
		return nil, err
	}
	s.damage = err
	r.fail(err)
	s.options, err = ParseOptions(s.params.Cmdline)
	r.fail(err)
	if m.Watch != nil {
		m.Watch.Deadline(s.options.untilPrepared())
	}
	r.begin(stepPayload)

	if s.params.Initrd.Empty() {
		return nil, errors.New("no payload: put the archive that `ferry pack` writes in the place of the initrd")
	}
	archive, err := m.Memory.View(s.params.Initrd.Start, s.params.Initrd.Size())
	if err == nil {
		s.payload, err = payload.Open(archive)
	}
	if err == nil {
		err = s.authenticate(r)
	}
	if err != nil {
		return nil, phys.In("payload", s.params.Initrd.Start, err)
	}
	manifest := s.payload.Manifest
	s.policy = s.options.Outcome(manifest, s.signed)
	s.next = s.candidate(manifest.Kernel, s.payload.Kernel, s.payload.Initrd, manifest.Cmdline)
	s.next.Opened = s.part(s.payload.Opened)
	if b := manifest.Rollback; b != nil {
		c := s.candidate(b.Kernel, s.payload.RollbackKernel, s.payload.RollbackInitrd, b.Cmdline)
		s.rollback = &c
	}
	r.Next = manifest.Kernel.Release
	r.begin(stepDigests)
	s.checkParts(r)
	s.checkMode(r)
	r.begin(stepScratch)
	return s, nil
}

// authenticate proves who made the payload, if the stage's image demands that.
func (s *Started) authenticate(r *Report) error {
	var t *payload.Trust
	if len(s.m.Trust) > 0 {
		var err error
		if t, err = payload.ParseTrust(s.m.Trust); err != nil {
			return err
		}
	}
	if t == nil {
		r.note("this image has no key: it starts whatever payload it is given, if that is whole")
		return nil
	}
	comment, err := t.VerifyManifest(s.payload)
	if err != nil {
		return err
	}
	s.signed = true
	r.note("payload signed by key %v: %s", t.Key, cut(comment, maxReleaseText))
	return nil
}

// checkParts compares the parts of the payload with the digests in its manifest, each
// once. A damaged next kernel is a failure; a damaged rollback kernel is none as long
// as nothing else is wrong.
func (s *Started) checkParts(r *Report) {
	if !s.signed && len(s.payload.Manifest.Parts) == 0 {
		r.warn("THE PAYLOAD NAMES NO DIGESTS: it is unknown whether the kernel that is started is whole; ferry pack names them")
		return
	}
	check := func(names ...string) error {
		var bad phys.Errors
		for _, name := range names {
			bad.Add(s.payload.CheckPart(name))
		}
		return bad.Err()
	}
	s.next.bad = check(payload.KernelName, payload.OpenedName, payload.InitrdName)
	r.fail(s.next.bad)
	if s.rollback == nil {
		return
	}
	s.rollback.bad = check(payload.RollbackKernelName, payload.RollbackInitrdName)
	for _, f := range failures(s.rollback.bad) {
		r.warn(fmt.Sprintf("THERE IS NO WAY BACK: %v", f))
	}
}

// checkMode refuses to hand on unread what a signature, or a number of expected
// sessions, says must not be.
func (s *Started) checkMode(r *Report) {
	if s.options.Mode != Pass {
		return
	}
	if s.signed && s.payload.Manifest.OnError != payload.OnErrorPass {
		r.fail(errors.New("command line: ferry.mode=pass: the signed manifest does not allow a handover to go on unread (it has no on-error=pass)"))
	}
	if n := s.expectedSessions(); n > 0 {
		r.fail(fmt.Errorf("command line: ferry.mode=pass: nobody counts the %d sessions that have to come in (expect-sessions)", n))
	}
}

// handover returns the handover that the setup_data list names, nil if it names none
// that can be handed on. None says that there is none, and that none can be hidden.
func (s *Started) handover(r *Report) (raw *[kho.DataSize]byte, none bool) {
	r.fail(s.encrypted())
	raw, err := s.params.KHO()
	r.fail(err)
	return raw, raw == nil && err == nil && s.damage == nil
}

// encrypted refuses to cross if the machine, or what it was started with, says
// that memory is encrypted.
func (s *Started) encrypted() error {
	bad := func(at phys.Addr, by string) error {
		return &phys.Error{Object: "memory", Addr: at, Found: "encrypted: " + by, Want: "memory that the stage can read",
			Hint: "update with a plain kexec, between kernels of one generation", Err: ErrEncrypted}
	}
	if s.m.Encryption != "" {
		return bad(s.m.Stage.Start, s.m.Encryption)
	}
	for _, n := range s.params.SetupData {
		typ, _, indirect := n.Indirect()
		if n.Type == boot.SetupCCBlob || indirect && typ == boot.SetupCCBlob {
			return bad(n.Addr, fmt.Sprintf("a setup_data node of type %d, which confidential guests have", boot.SetupCCBlob))
		}
	}
	return nil
}

// identify finds out which formats the kernels on both sides are said to use.
func (s *Started) identify(r *Report) {
	manifest := s.payload.Manifest
	if name := manifest.Kernel.Generation; name != "" && s.next.gen == nil {
		r.fail(fmt.Errorf("manifest: the next kernel is of generation %s, which this stage does not write", phys.Quote(name)))
	}
	var err error
	s.from, err = findProducer(manifest.From, s.options.From)
	r.fail(err)
	if s.from.release {
		r.loaded = s.from.said
	}
	r.fail(s.next.gen.allow(s.options.Experimental, "manifest: the next kernel"))
	r.fail(s.from.gen.allow(s.options.Experimental, s.from.by))
}

// candidate returns a kernel of the payload. Without its own command line it gets
// that of the stage.
func (s *Started) candidate(info payload.KernelInfo, kernel, initrd payload.File, own *string) candidate {
	c := candidate{release: info.Release, gen: ByName(info.Generation), Next: boot.Next{
		Kernel:    s.part(kernel),
		Initrd:    s.part(initrd),
		Cmdline:   cmdline.Without(s.params.Cmdline, prefix),
		Seed:      make([]byte, 32),
		Random:    s.m.Random,
		Processor: s.m.Processor,
	}}
	if own != nil {
		c.Cmdline = *own
	}
	s.m.Random(c.Seed)
	return c
}

// part returns a file of the payload together with its address.
func (s *Started) part(f payload.File) boot.Part {
	if len(f.Data) == 0 {
		return boot.Part{}
	}
	return boot.Part{Bytes: f.Data, At: s.params.Initrd.Start + phys.Addr(f.Offset)}
}

// held returns the memory outside the handover in which nothing new may be
// written: that of this code, and of what it was started with.
func (s *Started) held() phys.Ranges {
	in := s.params
	held := append(phys.Ranges{s.m.Stage, in.Initrd, in.CmdlineAt, phys.Block{Addr: in.ZeroPage}.Range()}, in.InPlace()...)
	for _, n := range in.SetupData {
		held = append(held, n.Range())
	}
	return phys.NewRanges(held...)
}

// expectedSessions returns how many sessions have to come in at least: what the
// manifest says, or, unless that is signed, the command line.
func (s *Started) expectedSessions() uint64 {
	if n := s.options.ExpectSessions; n > 0 && !s.signed {
		return n
	}
	return s.payload.Manifest.ExpectSessions
}

// checkSessions fails if fewer sessions came in than have to.
func (s *Started) checkSessions(n int) error {
	if want := s.expectedSessions(); uint64(n) < want {
		return fmt.Errorf("%d sessions came in, want at least %d as expect-sessions says: %s", n, want, closedSession)
	}
	return nil
}

// closedSession is the usual reason for a missing session.
const closedSession = "a session whose process ends before the kexec is given up by the kernel before"
