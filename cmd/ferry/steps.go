package main

import (
	"fmt"
	"io"
	"strings"

	"ferry/boot"
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
