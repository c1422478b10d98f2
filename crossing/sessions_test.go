package crossing

import (
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
)

// TestFewerSessionsThanExpectedFollowThePolicy: kernel A of the payload is the one
// to go back to.
func TestFewerSessionsThanExpectedFollowThePolicy(t *testing.T) {
	const fewer = "3 sessions came in, want at least 4"
	for name, tt := range map[string]struct {
		words    string
		manifest payload.Manifest
		signed   bool
		none     bool   // no handover comes in
		want     string // kernel; empty: none is started
		say      string
	}{
		"as many as expected":               {"", payload.Manifest{ExpectSessions: 3}, false, false, "B", ""},
		"fewer":                             {"", payload.Manifest{ExpectSessions: 4}, false, false, "A", fewer},
		"fewer, to go on":                   {"", payload.Manifest{ExpectSessions: 4, OnError: payload.OnErrorPass}, false, false, "B", fewer},
		"fewer, to halt":                    {"", payload.Manifest{ExpectSessions: 4, OnError: payload.OnErrorHalt}, false, false, "", fewer},
		"the command line says it":          {"ferry.expect-sessions=4", payload.Manifest{}, false, false, "A", fewer},
		"the command line says otherwise":   {"ferry.expect-sessions=3", payload.Manifest{ExpectSessions: 4}, false, false, "B", ""},
		"but not against a signature":       {"ferry.expect-sessions=3", payload.Manifest{ExpectSessions: 4}, true, false, "A", fewer},
		"nor for one":                       {"ferry.expect-sessions=4", payload.Manifest{}, true, false, "B", ""},
		"nobody counts them":                {"ferry.mode=pass", payload.Manifest{ExpectSessions: 3}, false, false, "A", "nobody counts the 3 sessions"},
		"no handover at all":                {"", payload.Manifest{ExpectSessions: 1}, false, true, "A", "0 sessions came in, want at least 1"},
		"no handover at all, to go on":      {"", payload.Manifest{ExpectSessions: 1, OnError: payload.OnErrorPass}, false, true, "B", "0 sessions came in, want at least 1"},
		"no handover at all, to halt":       {"ferry.on-error=halt", payload.Manifest{ExpectSessions: 1}, false, true, "", "0 sessions came in, want at least 1"},
		"no handover, and none is missed":   {"", payload.Manifest{}, false, true, "B", ""},
		"no handover, none missed, to halt": {"ferry.on-error=halt", payload.Manifest{}, false, true, "B", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 1}, tt.words)
			m.both(tt.manifest)
			if tt.signed {
				m.signed(newSigner())
			}
			if tt.none {
				le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0)
			}
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.want != "") || err == nil && m.started(jump) != tt.want {
				t.Fatalf("got %v, want kernel %q\n%s", err, tt.want, m.log)
			}
			if failed := crossingtest.Failed(m.log.String()); failed != (tt.say != "") || !strings.Contains(m.log.String(), tt.say) {
				t.Errorf("the report does not say %q, or more:\n%s", tt.say, m.log)
			}
		})
	}
}

// TestACrossingWithoutSessionsWarns: and none that has some, or whose kernels can
// have none.
func TestACrossingWithoutSessionsWarns(t *testing.T) {
	none := func(m *machine) { le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0) }
	for name, tt := range map[string]struct {
		from     *standin.Generation
		to, hint string
		sessions int
		words    string
		alter    func(m *machine)
		want     string
	}{
		"sessions":                        {standin.F, "F", "", 1, "", nil, ""},
		"none":                            {standin.F, "F", "", 0, "", nil, "NO SESSION CAME IN: a session whose process ends"},
		"none, to older formats":          {standin.F, "C", "", 0, "", nil, "NO SESSION CAME IN: a session whose process ends"},
		"no state at all":                 {standin.B, "F", "6.19.14", 0, "", nil, "NO SESSION CAME IN: the kernel before handed over no live update state"},
		"from a kernel that has none":     {standin.B, "F", "6.18.15", 0, "", nil, ""},
		"to a kernel that has none":       {standin.F, "B", "", 0, "", nil, ""},
		"nobody looked":                   {standin.F, "F", "", 0, "ferry.mode=pass", nil, ""},
		"no handover":                     {standin.F, "F", "", 1, "", none, "no handover came in"},
		"something else went wrong":       {standin.F, "F", "", 0, "ferry.unknown=1", nil, ""},
		"no handover, and something else": {standin.F, "F", "", 0, "ferry.unknown=1", none, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachineOf(t, tt.from, standin.Shape{Sessions: tt.sessions, Plain: true}, tt.words)
			m.next(tt.to, tt.hint)
			if tt.alter != nil {
				tt.alter(m)
			}
			if _, err := Run(&m.Machine); err != nil {
				t.Fatalf("%v\n%s", err, m.log)
			}
			lines := strings.Split(strings.TrimSpace(m.log.String()), "\n")
			last := lines[len(lines)-1]
			if warned := strings.Contains(last, " CAME IN") || strings.Contains(last, " COLD: no "); warned != (tt.want != "") || !strings.Contains(last, tt.want) {
				t.Errorf("the last line is %q, want %q\n%s", last, tt.want, m.log)
			}
		})
	}
}
