package linux

import "strings"

// A Case is something that an operator does before the jump, on a running kernel, and what the host tool has to make of it.
// linux/init does each in turn and reports how it ended:
//
//	crossing: case <name> status=<exit status>
type Case struct {
	Name   string     // one word
	What   string     // in words
	Before string     // what became of it before anybody looked
	Shell  [][]string // commands
	Fails  bool       // the last command does
	Says   string     // by the last command
	Silent string     // not said by it
}

// CasesPath is the folder of the cases in their initrd.
const CasesPath = "/cases/"

// CaseLine begins what linux/init reports of a case.
const CaseLine = "case "

// Cases are all of them. Kernel B is that of the given release, which runs; old is one that reads other formats.
func Cases(release, old string) []Case {
	kernel, back := KernelPath(release), KernelPath(old)
	pack := func(more ...string) []string {
		return append([]string{FerryPath, "pack", "--kernel", kernel, "--output", CasesPath + "payload"}, more...)
	}
	load := func(more ...string) []string {
		return append([]string{FerryPath, "load", "--accept-halt", "--stage", StagePath, CasesPath + "payload"}, more...)
	}
	line := "--cmdline=" + Cmdline + " "
	return []Case{
		{Name: "bare-line", What: "`--cmdline ferry.mode=cross`", Before: "loaded; B got an empty line, without `root=`, and kept the state to itself",
			Shell: [][]string{pack(), load("--cmdline=ferry.mode=cross")}, Fails: true, Says: "has no kho=on"},
		{Name: "append", What: "`--append quiet`", Before: "there was no such flag",
			Shell: [][]string{load("--append=quiet")}, Says: "quiet\", that of the running kernel and --append"},
		{Name: "own-line", What: "`--append quiet`, and the payload has a line of its own", Before: "dropped without a word",
			Shell: [][]string{pack(line), load("--append=quiet")}, Says: `does not get "quiet" of --append`},
		{Name: "no-liveupdate", What: "a line without `liveupdate=on`", Before: "loaded; B keeps the memory, and there is no device to ask for it",
			Shell: [][]string{pack(), load("--cmdline=console=ttyS0 kho=on")}, Fails: true, Says: "has no liveupdate=on"},
		{Name: "mem", What: "`mem=` below scratch", Before: "loaded; B died without a word",
			Shell: [][]string{pack("--with-compressed"), load("--append=mem=256M")}, Fails: true, Says: "has mem=256M, and scratch lies at"},
		{Name: "memmap", What: "`memmap=16M$0x7000000` for B alone", Before: "loaded",
			Shell: [][]string{load("--append=memmap=16M$0x7000000")}, Fails: true, Says: "which the running kernel has not"},
		{Name: "long-line", What: "a line of more than 2,047 bytes", Before: "halted in the stage, which ended without its policy",
			Shell: [][]string{pack(), load("--append=" + strings.Repeat("x", 2100))}, Fails: true, Says: "command line of"},
		{Name: "no-rollback", What: "`ferry.on-error=rollback` without a rollback kernel", Before: "loaded; any failure could only halt, though B could have been started",
			Shell: [][]string{load("--append=ferry.on-error=rollback")}, Fails: true, Says: "the payload has no rollback kernel"},
		{Name: "deadline", What: "`ferry.deadline=1s`", Before: "loaded; a crossing that went well counted as failed, before there was a way out",
			Shell: [][]string{load("--append=ferry.deadline=1s")}, Fails: true, Says: "the stage may need"},
		{Name: "root-label", What: "`root=LABEL=system` without an initrd", Before: "loaded; no root was found",
			Shell: [][]string{load("--append=root=LABEL=system")}, Says: "no kernel finds that by itself"},
		{Name: "no-initrd", What: "no initrd, and the running kernel has one", Before: "loaded without a word",
			Shell: [][]string{load()}, Says: "and the running kernel was started with one"},
		{Name: "initrd", What: "an initrd that begins like nothing", Before: "loaded without a word",
			Shell: [][]string{pack("--initrd", CasesPath+"text"), load()}, Says: "like nothing that kernels unpack"},
		{Name: "back-other", What: "a rollback kernel that does not read what runs", Before: "taken if the manifest said that it did",
			Shell: [][]string{pack("--rollback-kernel", back), load()}, Fails: true, Says: "the rollback kernel reads generation"},
		{Name: "back-forced", What: "the same, with `--force`", Before: "nothing was said",
			Shell: [][]string{load("--force")}, Says: "FORCED"},
		{Name: "from-other", What: "a payload for a handover from 6.17.13", Before: "loaded; on 6.18 its bitmaps were read wrongly",
			Shell: [][]string{pack("--from", "6.17.13"), load()}, Fails: true, Says: "the payload is made for a handover from 6.17.13"},
		{Name: "damaged-image", What: "`ferry pack` of a damaged kernel", Before: "\"CRC check failed\", and the hint to say `--generation`: whoever did got a payload",
			Shell: [][]string{{FerryPath, "pack", "--kernel", CasesPath + "damaged", "--output", CasesPath + "other"}}, Fails: true, Says: "damaged", Silent: "--generation"},
		{Name: "told-otherwise", What: "`ferry pack --generation C` of a kernel of another", Before: "packed; everything lost",
			Shell: [][]string{pack("--generation", "C")}, Fails: true, Says: "--generation says generation C, but its image reads"},
		{Name: "damaged-payload", What: "a payload with bytes changed in its kernel", Before: "loaded, started, and hung",
			Shell: [][]string{pack(), {CasesPath + "damage"}, load()}, Fails: true, Says: "is damaged"},
		{Name: "after-a-failure", What: "what the next kexec starts, after a load that failed", Before: "not said",
			Shell: [][]string{load()}, Fails: true, Says: "is still loaded: the next kexec starts that"},
		{Name: "unload", What: "`ferry load --unload`", Before: "the same",
			Shell: [][]string{{FerryPath, "load", "--unload"}}, Says: "nothing is loaded now"},
		{Name: "nothing-loaded", What: "a load that fails, with nothing loaded", Before: "not said",
			Shell: [][]string{load()}, Fails: true, Says: "nothing is loaded: the next kexec starts nothing"},
		{Name: "signature", What: "`ferry seal` of an empty signature, without a key", Before: "sealed",
			Shell: [][]string{pack(), {FerryPath, "seal", CasesPath + "payload", "--signature", CasesPath + "empty", "--unverified"}}, Fails: true, Says: "empty"},
		{Name: "good", What: "what is right", Before: "\"loaded\"",
			Shell: [][]string{load()}, Says: "start it with: "},
	}
}
