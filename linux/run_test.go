package linux

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
	"ferry/linux/workload"
)

// good is the log of a run from 7.1 over 7.2 to 7.3, as far as it is judged.
var good = strings.NewReplacer("TREE1", leftTree(leftCompatible, "7.1.13", "7.2.12", 4), "TREE2", leftTree(leftCompatible, "7.2.12", "7.3.4", 4)).Replace(`[    0.000000] Linux version 7.1.13 (a)
crossing: machine round=0 release=7.1.13 luo=true test_kho=true la57=false
crossing: root round=0 bytes=9 crc=0a
crossing: region round=0 start=0x3f885000 size=1048576 digest=0b kept=true
crossing: made round=0 sessions=2 files=4 bytes=8194 huge=0
crossing: initrd round=0 bytes=8 crc=1a
ferry: session blocks                1          1
ferry: file blocks                   2          3
ferry: 10 blocks added, 9 retired
[    0.000000] Linux version 7.2.12 (b)
[    0.000000] KHO: found kexec handover data.
[    0.000000] Revived memory reservation 'ferry' from KHO
[    0.300000] luo: Retrieved live update data, liveupdate number: 1
[    0.400000] KHO: exec from: 7.1.13 (count 1)
[    0.500000] test_kho: KHO restore succeeded
[    0.600000] liveupdate test: liveupdate-test-flb-v0: found flb data from the previous boot
crossing: machine round=1 release=7.2.12 luo=true test_kho=true la57=false
crossing: root round=1 bytes=8 crc=1a
crossing: left round=1 trees=1 tree=TREE1
crossing: region round=1 start=0x3f885000 size=1048576 digest=0b kept=true
crossing: kept round=1 sessions=2 files=4 bytes=8194 digest=0c huge=0
crossing: initrd round=1 bytes=7 crc=2a
ferry: session blocks                1          1
ferry: file blocks                   2          3
ferry: 10 blocks added, 9 retired
[    0.000000] Linux version 7.3.4 (c)
[    0.000000] KHO: found kexec handover data.
[    0.000000] Revived memory reservation 'ferry' from KHO
[    0.300000] luo: Retrieved live update data, liveupdate number: 2
[    0.400000] KHO: exec from: 7.2.12 (count 2)
[    0.600000] liveupdate test: liveupdate-test-flb-v0: found flb data from the previous boot
crossing: machine round=2 release=7.3.4 luo=true test_kho=true la57=false
crossing: root round=2 bytes=7 crc=2a
crossing: left round=2 trees=1 tree=TREE2
crossing: region round=2 start=0x3f885000 size=1048576 digest=0b kept=true
crossing: kept round=2 sessions=2 files=4 bytes=8194 digest=0c huge=0
crossing: DONE rounds=2
`)

// leftTree is what a crossing leaves, as far as it is judged, in base64.
func leftTree(compatible, from, to string, files uint64) string {
	page := make([]byte, 4096)
	w := fdt.NewWriter(page)
	w.Begin("")
	w.String("compatible", compatible)
	w.String("from", from)
	w.String("to", to)
	for i, name := range []string{"in", "out"} {
		w.Begin(name)
		w.Uint64("sessions", 2)
		w.Uint64("files", files)
		w.Uint64("blocks", uint64(3+i))
		w.End()
	}
	w.End()
	n, err := w.Finish()
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(page[:n])
}

var goodRun = Run{Route: NewRoute("7.1.13", "7.2.12", "7.3.4"), Plan: workload.Plan{Sessions: 2, Files: 2}, Region: true}

func TestRunWithoutFaultIsKept(t *testing.T) {
	result := goodRun.Result("test", ParseLog([]byte(good)), nil)
	if result.Fate != Kept || len(result.Words) > 0 {
		t.Errorf("%s: %s", result.Fate, strings.Join(result.Words, "\n"))
	}
}

func TestJudgeMissesNoFault(t *testing.T) {
	tests := []struct {
		name, old, replacement string
		fate                   Fate
	}{
		{"other kernel", "Linux version 7.2.12", "Linux version 7.2.13", Damaged},
		{"complaint", "ferry: 10", "[    9.000000] WARNING: mm/page_alloc.c:100\nferry: 10", Damaged},
		{"no handover", "[    0.000000] KHO: found kexec handover data.\n", "", Damaged},
		{"session short", "kept round=2 sessions=2", "kept round=2 sessions=1", Damaged},
		{"bytes differ", "bytes=8194 digest=0c huge=0\ncrossing: DONE", "bytes=8194 digest=0d huge=0\ncrossing: DONE", Damaged},
		{"folios broken up", "digest=0c huge=0", "digest=0c huge=3", Damaged},
		{"other initrd", "root round=1 bytes=8 crc=1a", "root round=1 bytes=8 crc=1b", Damaged},
		{"live update number", "liveupdate number: 2", "liveupdate number: 1", Damaged},
		{"kexec count", "(count 2)", "(count 1)", Damaged},
		{"kexec from", "exec from: 7.2.12", "exec from: 7.1.13", Damaged},
		{"region elsewhere", "region round=2 start=0x3f885000", "region round=2 start=0x3f886000", Damaged},
		{"region overwritten", "digest=0b kept=true\ncrossing: kept round=2", "digest=0e kept=false\ncrossing: kept round=2", Damaged},
		{"region new", "Revived memory reservation", "Made memory reservation", Damaged},
		{"test_kho silent", "[    0.500000] test_kho: KHO restore succeeded\n", "", Damaged},
		{"test_kho failed", "restore succeeded", "restore failed", Damaged},
		{"no flb", "v0: found flb data", "v0: no flb data", Damaged},
		{"wrong flb", "v0: found flb data", "v0: ERROR - incorrect data handle", Damaged},
		{"nothing left", "crossing: left round=2 trees=1 tree=" + leftTree(leftCompatible, "7.2.12", "7.3.4", 4) + "\n", "", Damaged},
		{"two trees left", "left round=2 trees=1", "left round=2 trees=2", Damaged},
		{"tree cut short", leftTree(leftCompatible, "7.2.12", "7.3.4", 4), "0A3+7Q==", Damaged},
		{"tree of another kind", leftTree(leftCompatible, "7.2.12", "7.3.4", 4), leftTree("ferry-report-v2", "7.2.12", "7.3.4", 4), Damaged},
		{"tree of the crossing before", leftTree(leftCompatible, "7.2.12", "7.3.4", 4), leftTree(leftCompatible, "7.1.13", "7.2.12", 4), Damaged},
		{"tree counts other files", leftTree(leftCompatible, "7.2.12", "7.3.4", 4), leftTree(leftCompatible, "7.2.12", "7.3.4", 3), Damaged},
		{"tree counts other blocks", "ferry: file blocks                   2          3", "ferry: file blocks                   2          4", Damaged},
		{"fails", "crossing: DONE rounds=2", "crossing: FAIL: round 2: no", Damaged},
		{"not to the end", "crossing: DONE rounds=2", "crossing: initrd", Damaged},
		{"lost", "[    0.000000] KHO: found kexec handover data.\n[    0.000000] Revived", "[    0.000000] KHO: disabling KHO revival\n[    0.0] Revived", Lost},
		{"not crossed", "ferry: 10 blocks added, 9 retired\n", "", Damaged},
		{"handed on", "ferry: 10", "ferry: PASSED ON to 7.3.4: unread, as ferry.mode=pass says\nferry: 10", Damaged},
		{"refused", "ferry: 10", "ferry: BOOTED 7.3.4 COLD: luo: too many; its state is lost, as on-error=cold says\n[    9.000000] KHO: no\n", Refused},
		{"panic", "crossing: DONE rounds=2", "[    1.000000] Kernel panic - not syncing: no", Panicked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := strings.LastIndex(good, tt.old)
			if at < 0 {
				t.Fatalf("the log has no %q", tt.old)
			}
			result := goodRun.Result("test", ParseLog([]byte(good[:at]+tt.replacement+good[at+len(tt.old):])), nil)
			if result.Fate != tt.fate || len(result.Words) == 0 {
				t.Errorf("%s, want %s: %q", result.Fate, tt.fate, result.Words)
			}
		})
	}
}

func TestMachineThatFailsIsNotKept(t *testing.T) {
	if result := goodRun.Result("test", ParseLog([]byte(good)), ErrTimeout); result.Fate != Hung {
		t.Errorf("%s, want %s", result.Fate, Hung)
	}
	if result := goodRun.Result("test", ParseLog([]byte(good)), errors.New("exit code 1")); result.Fate != Damaged {
		t.Errorf("%s, want %s", result.Fate, Damaged)
	}
	if result := goodRun.Result("test", Log{}, nil); result.Fate != Damaged {
		t.Errorf("%s of no log, want %s", result.Fate, Damaged)
	}
}

// underflow is what a kernel with CONFIG_LIVEUPDATE_TEST says once about files from one without FLBs.
const underflow = `[    2.000000] ------------[ cut here ]------------
[    2.000000] refcount_t: underflow; use-after-free.
[    2.000000] WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x1/0x2, CPU#0: init/1
[    2.000000] Call Trace:
[    2.000000]  luo_flb_file_finish+0x1/0x2
[    2.000000] ---[ end trace 0000000000000000 ]---
`

func TestMissingRecordsAreKnownAfterKernelsWithoutFLBsAlone(t *testing.T) {
	for _, first := range []string{"6.19.14", "7.0.13"} {
		run := Run{Route: NewRoute(first, "7.1.13")}
		for _, more := range []string{"", underflow} {
			log := ParseLog([]byte("[    0.000000] Linux version " + first + "\n[    0.000000] Linux version 7.1.13\n" + underflow + more))
			var complains bool
			for _, wrong := range run.Judge(log) {
				complains = complains || strings.Contains(wrong, "WARNING")
			}
			if known := first == "6.19.14" && more == ""; complains == known {
				t.Errorf("%s: warned %d times, complaint %v", first, 1+len(more)/len(underflow), complains)
			}
		}
	}
}

func TestOtherTestOfHandoversMayFailBefore618Alone(t *testing.T) {
	for first, known := range map[string]bool{"6.17.13": true, "6.18.15": false, "7.1.13": false} {
		run := Run{Route: NewRoute(first, "7.3.4")}
		log := ParseLog([]byte("[    0.000000] Linux version " + first + "\n[    0.000000] Linux version 7.3.4\n[    1.000000] test_kho: KHO restore failed\n"))
		wrong := strings.Join(run.Judge(log), "\n")
		if strings.Contains(wrong, "restore failed") == known {
			t.Errorf("%s: known %v, but\n%s", first, known, wrong)
		}
	}
}

func TestInitrdCarriesWhatTheRestOfTheRouteTakes(t *testing.T) {
	r := NewRoute("6.19.14", "7.0.13", "6.19.14")
	want := [][]string{
		{"/ferry", "/init", "/kernels/6.19.14", "/kernels/7.0.13", "/stage"},
		{"/ferry", "/init", "/kernels/6.19.14", "/stage"},
		{"/init"},
	}
	for round := range want {
		if diff := cmp.Diff(want[round], r.Files(round)); diff != "" {
			t.Errorf("round %d (-want +got):\n%s", round, diff)
		}
	}
	chain := Route{Releases: []string{"7.3.4"}, Rounds: 3, Direct: true}
	if diff := cmp.Diff([]string{"/init", "/kernels/7.3.4"}, chain.Files(2)); diff != "" {
		t.Errorf("the last release does not repeat (-want +got):\n%s", diff)
	}
}

func TestResultsAreReadAsSaved(t *testing.T) {
	dir := t.TempDir()
	want := goodRun.Result("test", ParseLog([]byte(good)), nil)
	if err := want.Save(dir, Log{}); err != nil {
		t.Fatal(err)
	}
	got, err := Results(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Result{want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
