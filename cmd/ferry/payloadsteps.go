package main

import (
	"bytes"
	"fmt"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/crossing"
)

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
