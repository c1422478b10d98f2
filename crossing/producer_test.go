package crossing

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/kho"
)

// distinct is a shape whose list of preserved memory can be of one kind alone.
var distinct = standin.Shape{Sessions: 1, Files: 1, Plain: true, Regions: 3, RegionOrder: 10, Tests: 40}

// TestWhoHandsOverHasToAgree: the command line, the payload and memory each say it,
// or say nothing.
func TestWhoHandsOverHasToAgree(t *testing.T) {
	for name, tt := range map[string]struct {
		from           *standin.Generation
		word, manifest string
		want           string // in the error; empty: it crosses
	}{
		"nobody says it, of 6.17":               {standin.A, "", "", ""},
		"nobody says it, of 6.18":               {standin.B, "", "", ""},
		"6.17 is 6.17":                          {standin.A, "6.17.13", "", ""},
		"6.18 is 6.18":                          {standin.B, "6.18.15", "", ""},
		"6.18 is 6.18, for both":                {standin.B, "6.18.15", "B", ""},
		"6.17 is not 6.18":                      {standin.A, "6.18.15", "", "and not kho-v1 as claimed"},
		"6.18 is not 6.17":                      {standin.B, "6.17.13", "", "and not kho-v1/512 as claimed"},
		"6.17 is not 6.18, the payload says":    {standin.A, "", "6.18.15", "and not kho-v1 as claimed"},
		"6.18 is not 6.17, the payload says":    {standin.B, "", "6.17.13", "and not kho-v1/512 as claimed"},
		"a payload for another kernel":          {standin.B, "6.18.15", "6.17.13", "take a payload that is made for the kernel that runs"},
		"a payload for nobody":                  {standin.B, "6.18.15", "6.15", `manifest: from: the handover is to come from "6.15"`},
		"6.18 is not 6.19":                      {standin.C, "6.18.15", "", "is to come from \"6.18.15\", generation B, but is in kho-v1, luo-v1"},
		"6.19 is not 7.0":                       {standin.C, "7.0", "", "generation D, but is in kho-v1, luo-v1"},
		"7.1 is 7.1":                            {standin.E, "7.1.13", "E", ""},
		"7.1 is not the series after it":        {standin.E, "E'", "", "from \"E'\", generation E', but is in kho-v3"},
		"7.2 is as good as 7.3":                 {standin.F, "7.2.1", "7.3", ""},
		"7.3 is not 7.1":                        {standin.F, "7.1.13", "", "but is in kho-v4"},
		"7.3 is not 7.1, the payload says":      {standin.F, "", "7.1.13", "but is in kho-v4"},
		"7.1 with the formats of the next":      {standin.EPrime, "E'", "", ""},
		"7.1 with the formats of the next, 7.1": {standin.EPrime, "7.1.13", "", "generation E, but is in kho-v3"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachineOf(t, tt.from, standin.Carried(tt.from, standin.F, distinct), "ferry.on-error=halt")
			if tt.word != "" {
				m.cmdline("ferry.on-error=halt ferry.from=" + tt.word)
			}
			m.next("F", tt.manifest)
			before := m.pages()
			_, err := Run(&m.Machine)
			m.unchanged(before)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q\n%s", err, tt.want, m.log)
			}
		})
	}
}

// TestMetadataHasAWordToo: a kernel of 7.1 or later names itself, which is compared
// with a release, but not with the name of a generation: those know formats alone.
func TestMetadataHasAWordToo(t *testing.T) {
	for word, want := range map[string]string{"7.3.4": "names Linux \"7.1.13-standin\" itself", "F": "", "": ""} {
		m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "ferry.on-error=halt")
		if word != "" {
			m.cmdline("ferry.on-error=halt ferry.from=" + word)
		}
		h, err := kho.Open(m.Memory, m.payload(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := h.Subtree(kho.MetadataName)
		copy(m.edit(s.Data+4, 65), "7.1.13-standin\x00")
		m.next("F", "")
		_, err = Run(&m.Machine)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", word, err, want)
		}
	}
}

// TestAListThatIsBothKindsIsWrittenForWhoeverReadsIt: if both kinds of list say the
// same, it crosses into what is known of the next kernel; if that is nothing but that
// it is of the same generation, then somebody has to say which.
func TestAListThatIsBothKindsIsWrittenForWhoeverReadsIt(t *testing.T) {
	for _, tt := range []struct {
		to, word string
		want     *kho.Format // nil: refused
	}{
		{"F", "", kho.V4}, {"A", "", kho.V1Small}, {"B", "", kho.V1}, {"A", "6.18.15", kho.V1Small},
		{"", "", nil}, {"", "6.17.13", kho.V1Small}, {"", "6.18.15", kho.V1},
	} {
		m := newMachineOf(t, standin.B, standin.Shape{Regions: 1}, "ferry.on-error=halt")
		if tt.word != "" {
			m.cmdline("ferry.on-error=halt ferry.from=" + tt.word)
		}
		if fit := kho.Recognise(m.Memory, m.payload()); len(fit) != 2 {
			t.Fatalf("the stand-in of 6.18 leaves %v", fit)
		}
		m.next(tt.to, "")
		jump, err := Run(&m.Machine)
		if tt.want == nil {
			if !errors.Is(err, kho.ErrAmbiguous) || !strings.Contains(err.Error(), "ferry pack --generation") {
				t.Errorf("%+v: got %v", tt, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v\n%s", tt, err, m.log)
			continue
		}
		d, err := kho.ParseData(0, m.arrive(jump).kho)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kho.OpenAs(m.Memory, d, tt.want); err != nil {
			t.Errorf("%+v: not written as %v: %v", tt, tt.want, err)
		}
	}
}

// TestNoRollbackToAKernelOfAnotherGeneration: it would take the handover for
// something else, or lose it. Memory says what it is, whoever claims something else.
func TestNoRollbackToAKernelOfAnotherGeneration(t *testing.T) {
	for name, tt := range map[string]struct {
		from       *standin.Generation
		back, word string
		started    bool
	}{
		"6.17 into itself":                    {standin.A, "A", "6.17.13", true},
		"6.18 into itself":                    {standin.B, "B", "6.18.15", true},
		"6.18 into itself, and a wrong claim": {standin.B, "B", "6.17.13", true},
		"6.18 into 6.17":                      {standin.B, "A", "6.18.15", false},
		"6.18 into 6.17, as claimed":          {standin.B, "A", "6.17.13", false},
		"6.17 into 6.18":                      {standin.A, "B", "6.17.13", false},
		"7.0 into 6.19, which reads it":       {standin.D, "C", "7.0.13", true},
		"6.19 into 7.0, which panics":         {standin.C, "D", "6.19.14", false},
		"7.3 into 7.2":                        {standin.F, "F", "7.3.4", true},
		"7.3 into nobody knows what":          {standin.F, "", "7.3.4", true},
		"7.3 into 7.1":                        {standin.F, "E", "7.3.4", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachineOf(t, tt.from, standin.Carried(tt.from, tt.from, distinct), "ferry.from="+tt.word)
			line := "rollback=1"
			m.setFiles(payload.Manifest{Kernel: payload.KernelInfo{Generation: "Z"}, OnError: payload.OnErrorRollback,
				Rollback: &payload.Rollback{Cmdline: &line, Kernel: payload.KernelInfo{Generation: tt.back}}},
				pack.Files{Kernel: kernelNamed("B"), RollbackKernel: kernelNamed("A")})
			w := &wary{Memory: m.Memory}
			m.Watch = w
			raw := bytes.Clone(m.edit(nodesAt+16, kho.DataSize))
			jump, err := Run(&m.Machine)
			switch {
			case !tt.started:
				if err == nil || !strings.Contains(err.Error(), "the rollback kernel is of generation "+tt.back+", which does not read") || w.to != nil {
					t.Errorf("got %v, armed with %v", err, w.to)
				}
			case err != nil:
				t.Errorf("%v\n%s", err, m.log)
			case m.started(jump) != "A" || !bytes.Equal(m.arrive(jump).kho, raw) || w.to == nil:
				t.Errorf("kernel %s was started, armed with %v", m.started(jump), w.to)
			}
		})
	}
}

// TestNothingCameInFromTheKernelThatRuns: ferry load says who was to hand over.
func TestNothingCameInFromTheKernelThatRuns(t *testing.T) {
	m := newMachine(t, standin.Shape{}, "ferry.on-error=halt ferry.from=7.3.4")
	le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0)
	if _, err := Run(&m.Machine); !errors.Is(err, ErrHalt) || !strings.Contains(err.Error(), "7.3.4") {
		t.Errorf("got %v", err)
	}
}
