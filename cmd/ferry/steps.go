package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/crossing"
	"ferry/linker"
)

// A step is one check of a crossing. It returns what it found. What may be overruled it leaves in the review.
type step struct {
	name  string // scripts know it by this name: it stays
	class class  // of what it refuses
	run   func(k *check) (found string, err error)
}

// steps are all that ferry load checks, which is what ferry check prints, in this order. A step may use what those before it
// found out, and says that it was skipped if that is not known.
func steps() []step {
	all := []step{
		{"command line", classHost, (*check).stepCommandLine},
		{"permission", classHost, func(k *check) (string, error) { return k.host.permission() }},
		{"kexec", classHost, func(k *check) (string, error) { return k.host.kexec() }},
		{"unsigned images", classHost, func(k *check) (string, error) { return k.host.unsignedImages() }},
		{"plain memory", classHost, func(k *check) (string, error) {
			return "no SEV, SME or TDX", k.host.checkEncrypted(k.has)
		}},
		{"live update", classHost, (*check).stepLiveUpdate},
		{"handover", classHost, (*check).stepHandover},
		{"running kernel", classHost, (*check).stepRunningKernel},
		{"stage", classPayload, (*check).stepStage},
		{"stage's line", classUsage, (*check).stepStageLine},
		{"payload", classPayload, (*check).stepPayload},
		{"signature", classTrust, (*check).stepSignature},
		{"digests", classPayload, (*check).stepDigests},
	}
	all = append(all, kernelSteps("next kernel", (*check).stepNext, func(k *check) *subject { return k.next })...)
	all = append(all, kernelSteps("rollback kernel", (*check).stepBack, func(k *check) *subject { return k.back })...)
	return append(all,
		step{"room to go back", classRoom, (*check).stepRoomBack},
		step{"room", classRoom, (*check).stepRoom},
		step{"producer", classPayload, (*check).stepProducer},
		step{"crossing", classPayload, (*check).stepCrossing},
		step{"way back", classPayload, (*check).stepWayBack},
		step{"words", classUsage, (*check).stepWords},
		step{"sessions", classHost, (*check).stepSessions},
		step{"after a failure", classPayload, (*check).stepFailure},
	)
}

// kernelSteps are the checks of a kernel of the payload; open returns it.
func kernelSteps(name string, open func(*check) (string, error), of func(*check) *subject) []step {
	with := func(look func(k *check, s *subject) string) func(*check) (string, error) {
		return func(k *check) (string, error) {
			if s := of(k); s != nil {
				return look(k, s), nil
			}
			return "", &skipped{"there is no " + name + " to look at", ""}
		}
	}
	return []step{
		{name, classPayload, open},
		{name + ": formats", classPayload, with(func(k *check, s *subject) string {
			k.review.claims(s.what, s.info, "the manifest", s.found, s.openErr)
			return described(s.info)
		})},
		{name + ": command line", classUsage, with(func(k *check, s *subject) string {
			k.review.dropped(k.cmd, s.what, s.own)
			k.review.live(s.what, s.line.text, k.running)
			k.review.root(s.what, s.line.text, k.running, s.initrd.Data)
			return s.line.String()
		})},
		{name + ": memory", classRoom, with(func(k *check, s *subject) string {
			k.shadow(s.what, s.kernel, s.found, uint64(len(s.initrd.Data)))
			k.namesAllRAM(s.what, s.line.text)
			k.review.memory(s.what, s.line.text, k.running, k.scratch, k.host.systemRAM())
			return "nothing takes away what the running kernel has"
		})},
		{name + ": initrd", classPayload, with(func(k *check, s *subject) string {
			k.review.initrd(s.what, s.initrd.Data, k.host.hadInitrd())
			if len(s.initrd.Data) == 0 {
				return "none"
			}
			return size(uint64(len(s.initrd.Data)))
		})},
		{name + ": build", classPayload, with(func(k *check, s *subject) string {
			k.review.builds(s.what, s.what != nextName, s.kernel, k.host)
			return linuxOf(s.kernel.Release)
		})},
	}
}

// stepCommandLine wants the line that the stage gets to be readable, and Ferry's words in it to be known.
func (k *check) stepCommandLine() (string, error) {
	var err error
	if k.running, err = k.host.cmdline(); err != nil {
		return "", err
	}
	k.line = k.cmd.line(k.running)
	if k.options, err = crossing.ParseOptions(k.line.text); err != nil {
		return "", in(classUsage, err)
	}
	k.understood = true
	return k.line.String(), nil
}

func (k *check) stepLiveUpdate() (string, error) {
	if err := k.host.checkLUO(); err != nil {
		return "", err
	}
	if enabled(k.running, "liveupdate") {
		return "built in, on the command line, and on", nil
	}
	return "built in and on", nil
}

func (k *check) stepHandover() (found string, err error) {
	if k.scratch, err = k.host.scratch(); err != nil {
		return "", err
	}
	var areas []string
	for _, area := range k.scratch {
		if !area.Empty() {
			areas = append(areas, fmt.Sprintf("%s at %#x", size(area.Size()), uint64(area.Start)))
		}
	}
	asked := ""
	if enabled(k.running, "kho") {
		asked = "on the command line, "
	}
	return fmt.Sprintf("built in, %sand on; scratch: %s", asked, strings.Join(areas, ", ")), nil
}

// stepRunningKernel finds out what the running kernel hands over, and tells that to the stage.
func (k *check) stepRunningKernel() (string, error) {
	k.runs = k.host.producer()
	if k.understood {
		k.line = k.host.introducedRAM(k.runs.introduced(k.line, k.options))
	}
	if k.runs.gen == nil && k.runs.unread == nil {
		return "", &skipped{k.runs.String(), "say it with --append ferry.from=RELEASE"}
	}
	return k.runs.String(), nil
}

// stepStage reads the stage. If none is given, one that was linked with the default size stands for it.
func (k *check) stepStage() (string, error) {
	if k.files.stage == nil {
		k.stage = &boot.Kernel{InitSize: linker.InitSize, Alignment: linker.Alignment, PrefAddress: linker.PrefAddress}
		return "", &skipped{"no stage was given", "give it with --stage"}
	}
	image, err := io.ReadAll(k.files.stage)
	if err != nil {
		return "", in(classFailed, err)
	}
	if k.stage, err = parseStage(k.cmd.Stage, image); err != nil {
		return "", err
	}
	k.image = image
	return fmt.Sprintf("%s, %s of memory", k.stage.Release, size(k.stage.InitSize)), nil
}

func (k *check) stepStageLine() (string, error) {
	if k.image == nil || !k.understood {
		return "", &skipped{"stage or line are not known", ""}
	}
	most := int64(k.stage.CmdlineMax) - 1 - elfcorehdr
	if n := int64(len(k.line.text)); n > most {
		return "", &problem{fmt.Sprintf("command line of %d bytes, at most %d", n, most), "give a shorter one with --cmdline", nil}
	}
	return fmt.Sprintf("%d bytes, at most %d: %q", len(k.line.text), most, k.line.text), nil
}

// stepPayload opens the payload, or packs the kernel as ferry pack does.
func (k *check) stepPayload() (string, error) {
	var archive []byte
	switch {
	case k.kernel != "":
		kernels, err := (&packCmd{Kernel: k.kernel}).kernels(k.review)
		if err != nil {
			return "", err
		}
		kernels[0].open(formFlags{}, nil)
		m, parts := (&packCmd{}).manifest(kernels)
		var b bytes.Buffer
		if err := pack.WriteFiles(&b, m, parts); err != nil {
			return "", fmt.Errorf("kernel %s: %w", k.kernel, err)
		}
		archive = b.Bytes()
	case k.files.payload != nil:
		var err error
		var unmap func()
		if archive, unmap, err = mapped(k.files.payload); err != nil {
			return "", in(classFailed, err)
		}
		k.unmap = unmap
	default:
		return "", &skipped{"no payload was given", "give one with --payload, or a kernel with --kernel"}
	}
	parts, err := payload.Open(archive)
	if err != nil {
		return "", fmt.Errorf("payload %s: %w", k.cmd.Payload, err)
	}
	k.parts, k.archive = parts, uint64(len(archive))
	if k.kernel != "" {
		return fmt.Sprintf("%s, as ferry pack would make of %s", size(k.archive), k.kernel), nil
	}
	return fmt.Sprintf("%s, %s, serial %d", k.cmd.Payload, size(k.archive), parts.Manifest.Serial), nil
}

// errNoPayload is why the checks of a payload are skipped if there is none.
var errNoPayload = &skipped{"there is no payload to look at", ""}

func (k *check) stepSignature() (found string, err error) {
	switch {
	case k.parts == nil:
		return "", errNoPayload
	case k.kernel != "":
		return "", &skipped{"a kernel alone is not signed", ""}
	}
	if k.trust, k.signer, err = k.checkTrust(); err != nil {
		return "", err
	}
	if k.image == nil {
		return "", &skipped{"no stage says whether it asks for a signature", "give it with --stage"}
	}
	return k.signer, nil
}

func (k *check) stepDigests() (string, error) {
	if k.parts == nil {
		return "", errNoPayload
	}
	return fmt.Sprintf("%d parts, all whole", len(k.parts.Manifest.Parts)), k.digests()
}

// usable says why nothing can be known of the payload's kernels, if so.
func (k *check) usable() error {
	switch {
	case k.parts == nil:
		return errNoPayload
	case !k.whole:
		return &skipped{"the payload is damaged", ""}
	}
	return nil
}

func (k *check) stepNext() (found string, err error) {
	if err := k.usable(); err != nil {
		return "", err
	}
	p, m := k.parts, k.parts.Manifest
	if k.next, err = k.subject(nextName, p.Kernel, p.Opened, p.Initrd, m.Kernel, m.Cmdline); err != nil {
		return "", err
	}
	return "the stage can start it", nil
}

func (k *check) stepBack() (found string, err error) {
	if err := k.usable(); err != nil {
		return "", err
	}
	p, m := k.parts, k.parts.Manifest
	if m.Rollback == nil {
		return "", &skipped{"there is none in the payload", ""}
	}
	if k.back, err = k.subject("rollback kernel", p.RollbackKernel, payload.File{}, p.RollbackInitrd, m.Rollback.Kernel, m.Rollback.Cmdline); err != nil {
		return "", err
	}
	return "the stage can start it", nil
}

// errNoScratch is why there is no looking for room.
var errNoScratch = &skipped{"scratch is not known", ""}

// stepRoomBack places the kernel to go back to, which is placed before the next one, and whose place that may take then.
func (k *check) stepRoomBack() (string, error) {
	switch {
	case k.back == nil:
		return "", &skipped{"there is no rollback kernel to place", ""}
	case k.scratch == nil || k.stage == nil:
		return "", errNoScratch
	}
	places, err := placeAll(k.scratch, k.stage, k.back.kernel, k.archive, 0, k.back.initrd)
	if err != nil {
		return "", fmt.Errorf("rollback kernel: %w", err)
	}
	return takes(places), nil
}

func (k *check) stepRoom() (found string, err error) {
	switch {
	case k.next == nil:
		return "", &skipped{"there is no next kernel to place", ""}
	case k.scratch == nil || k.stage == nil:
		return "", errNoScratch
	}
	m := k.parts.Manifest
	pool := k.host.pool(k.from(m), crossing.ByName(m.Kernel.Generation))
	if k.places, err = placeAll(k.scratch, k.stage, k.next.kernel, k.archive, pool, k.next.initrd); err != nil {
		return "", err
	}
	return takes(k.places), nil
}

// takes says how much of scratch places take.
func takes(places []placed) string {
	var all []boot.Need
	for _, p := range places {
		all = append(all, p.Need)
	}
	return fmt.Sprintf("takes %s; %s", size(total(all)), advice(all))
}

// stepProducer wants what is said of the kernel that hands over to be true of the one that runs.
func (k *check) stepProducer() (string, error) {
	if k.parts == nil {
		return "", errNoPayload
	}
	k.producer(k.parts.Manifest)
	if from := k.parts.Manifest.From; from != "" {
		return "the payload is made for " + handsOver(from), nil
	}
	return "the payload is made for any kernel", nil
}

// stepCrossing says what of a state can cross from the running kernel to the next one. What there is in it the stage finds out.
func (k *check) stepCrossing() (string, error) {
	if k.parts == nil {
		return "", errNoPayload
	}
	m := k.parts.Manifest
	from, to := k.from(m), crossing.ByName(m.Kernel.Generation)
	if from == nil || to == nil {
		return "", &skipped{"nobody says what the running kernel writes, or what the next one reads", ""}
	}
	much := map[passes]string{
		everything:   "everything crosses",
		withinLimits: "what is within the limits of the next kernel crosses (see ferry abi), more is a failure",
		noSessions:   "what is preserved without sessions crosses, any session is a failure",
	}[crosses(from, to)]
	native := "which does not read that by itself"
	if to.ReadsFrom(from) {
		native = "which reads that by itself"
	}
	return fmt.Sprintf("generation %s to %s, %s: %s", from.Name, to.Name, native, much), nil
}

// stepWayBack wants the kernel to go back to to read what the running one hands over.
func (k *check) stepWayBack() (string, error) {
	if k.parts == nil || k.parts.Manifest.Rollback == nil {
		return "", &skipped{"there is no rollback kernel", ""}
	}
	m, name := k.parts.Manifest, linuxOf(k.runs.release)
	if k.runs.gen == nil {
		name = k.parts.Manifest.From
	}
	gen := k.from(m)
	k.review.back(m, gen, name)
	if gen == nil || crossing.ByName(m.Rollback.Kernel.Generation) == nil {
		return "", &skipped{"nobody says what one of both reads or writes", ""}
	}
	return "the rollback kernel reads what the running one hands over", nil
}

func (k *check) stepWords() (string, error) {
	if k.parts == nil || !k.understood {
		return "", &skipped{"payload or command line are not known", ""}
	}
	k.words(k.expecting())
	return "Ferry's words on the command line fit the payload", nil
}

// expecting is the manifest with the sessions that the command line expects, if nobody signed it.
func (k *check) expecting() payload.Manifest {
	m := k.parts.Manifest
	if k.trust == nil && k.options.ExpectSessions > 0 {
		m.ExpectSessions = k.options.ExpectSessions
	}
	return m
}

// stepSessions says which sessions there are, as far as the links of open files tell. They may be made after the load, so that
// too few are no reason to refuse it.
func (k *check) stepSessions() (string, error) {
	held := k.host.sessions()
	if k.parts != nil {
		m := k.expecting()
		if next := crossing.ByName(m.Kernel.Generation); next != nil && len(held) > 0 {
			switch {
			case next.LUO == nil:
				k.review.warn("%d sessions are open, and the next kernel has none: that is a failure", len(held))
			case len(held) > next.LUO.MaxSessions() && !k.options.BeyondLimits:
				k.review.warn("%d sessions are open, and the next kernel takes %d: that is a failure", len(held), next.LUO.MaxSessions())
			}
		}
		if uint64(len(held)) < m.ExpectSessions {
			return "", &skipped{fmt.Sprintf("%s; at least %d are expected to come in", describeSessions(held), m.ExpectSessions), "make the others before the kexec"}
		}
	}
	if len(held) == 0 {
		return "", &skipped{describeSessions(held), "run as root, which sees the files of all processes; who closes a session gives up what it preserves"}
	}
	return describeSessions(held), nil
}

// stepFailure says what follows a failure, and wants the operator to know if that is the end.
func (k *check) stepFailure() (string, error) {
	if k.parts == nil || !k.understood {
		return "", &skipped{"payload or command line are not known", ""}
	}
	m := k.parts.Manifest
	b := &briefing{m: k.expecting(), from: k.runs.String(), gen: k.from(m), next: described(m.Kernel), signer: k.signer, unread: k.options.Mode == crossing.Pass}
	b.nextLine = k.line.passedOn(m.Cmdline).String()
	if m.Rollback != nil {
		b.back, b.backLine = described(m.Rollback.Kernel), k.line.passedOn(m.Rollback.Cmdline).String()
	}
	b.outcome, b.reason = k.failure(m)
	k.briefing = b
	switch {
	case b.outcome != payload.OnErrorHalt || k.cmd.AcceptHalt:
		return b.failure(), nil
	case k.kernel != "":
		return "", &skipped{"with this kernel alone the machine can only halt: " + b.reason, "pack a --rollback-kernel with it"}
	}
	return "", &problem{"after a failure the machine can only halt: " + b.reason,
		"pack a --rollback-kernel into the payload, or say --accept-halt", nil}
}
