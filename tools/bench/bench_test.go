package main

import (
	"math"
	"strings"
	"testing"
)

const log = `SeaBIOS
ferry: stage at [0x3b800000-0x3f7fffff], started with "probe.role=b"
ferry: boot           0.020 ms
ferry: digests        0.100 ms
ferry: place          0.300 ms
ferry: total          0.420 ms
ferry: entered at tick 17000000, 840000 ticks to main, 1900000 to here, 1000.123 MHz by pit
ferry: memory used 3484 KiB of 65536 KiB, 724 KiB in main
probe B: entered at tick 19000000
probe B: PASSED: every session, file and byte arrived
`

func TestParseReadsACrossing(t *testing.T) {
	c, err := parse(strings.ReplaceAll(log, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.main != 840000 || c.end != 1900000 || c.memory != 3484 || c.inMain != 724 || len(c.steps) != 4 {
		t.Errorf("read %+v", c)
	}
	if c.whole() != 2000000 || math.Round(c.crossing()) != 2000000-300037-100012 {
		t.Errorf("%v instructions, %v without placing and digests", c.whole(), c.crossing())
	}
}

func TestParseNamesWhatIsMissing(t *testing.T) {
	for _, line := range []string{"ferry: entered", "ferry: memory", "probe B: entered", "probe B: PASSED"} {
		cut := strings.Replace(log, line, "nothing", 1)
		if _, err := parse(cut); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("without %q: error %v", line, err)
		}
	}
}

func TestParseBenchmarksTakesTheMedian(t *testing.T) {
	all := parseBenchmarks(`goos: linux
BenchmarkWalk/dense-2   20   300 ns/op   2.5 x-memcpy   7 allocs/op
BenchmarkWalk/dense-2   20   900 ns/op   1.5 x-memcpy   7 allocs/op
BenchmarkWalk/dense-2   20   200 ns/op   9.5 x-memcpy   7 allocs/op
PASS
`)
	m := all["Walk/dense"]
	if len(all) != 1 || m["ns/op"] != 300 || m["x-memcpy"] != 2.5 || m["allocs/op"] != 7 {
		t.Errorf("read %v", all)
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		f      figure
		failed bool
		says   string
	}{
		{figure{bound: 10, value: 10}, false, "ok"},
		{figure{bound: 10, value: 10.1}, true, "MISSED"},
		{figure{bound: 10, value: 10.1, timed: true}, false, "over, on a shared machine"},
		{figure{bound: 10, value: 20.1, timed: true}, true, "MISSED"},
		{figure{value: 99}, false, ""},
	} {
		if says, failed := tt.f.verdict(); says != tt.says || failed != tt.failed {
			t.Errorf("%+v: %q, %v", tt.f, says, failed)
		}
	}
}
