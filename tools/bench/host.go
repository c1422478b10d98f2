package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// metrics are those of one benchmark by unit, each the median of its runs.
type metrics map[string]float64

// parseBenchmarks reads the output of go test -bench. Names lose "Benchmark" and
// the number of processors.
func parseBenchmarks(out string) map[string]metrics {
	runs := make(map[string]map[string][]float64)
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		if runs[name] == nil {
			runs[name] = make(map[string][]float64)
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				runs[name][f[i+1]] = append(runs[name][f[i+1]], v)
			}
		}
	}
	all := make(map[string]metrics)
	for name, units := range runs {
		all[name] = make(metrics)
		for unit, vs := range units {
			slices.Sort(vs)
			all[name][unit] = vs[len(vs)/2]
		}
	}
	return all
}

// onHost runs the benchmarks of the packages that read and write metadata.
func onHost() ([]figure, error) {
	// One package at a time: the machine may have no more processors.
	cmd := exec.Command("go", "test", "-p", "1", "-run", "^$", "-bench", "Million", "-benchtime", "10x", "-count", "5",
		"./kho", "./blockset", "./luo")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w\n%s%s", cmd, err, out, &stderr)
	}
	all := parseBenchmarks(string(out))
	var missing error
	get := func(name, unit string) float64 {
		v, ok := all[name][unit]
		if !ok {
			missing = fmt.Errorf("benchmark %s tells no %s:\n%s", name, unit, out)
		}
		return v
	}
	ratio := func(title, name string, bound float64, note string) figure {
		return figure{name: title, bound: bound, value: get(name, "x-memcpy"), unit: memcpys, timed: true, note: note}
	}
	const million = 1e6
	allocs := get("RestoreMillionEntries", "allocs/op")
	figures := []figure{
		ratio("restore 1 M entries", "RestoreMillionEntries", 2, ""),
		// Some slices that grow, for all of them together.
		{name: "  allocations", bound: 1e-4, value: allocs / million, unit: allocations, note: fmt.Sprintf("%.0f in all", allocs)},
		ratio("restore 1 M files, fields proved", "RestoreMillionFiles/rising-tokens", 2, ""),
		ratio("  with tokens in no order", "RestoreMillionFiles/unordered-tokens", 0, "sorted to prove them unique"),
		ratio("restore 510,000 sessions", "RestoreHalfAMillionSessions", 0, "hashed to prove the names unique"),
		ratio("re-serialize 1 M entries", "WriteMillionEntries", 4, ""),
		ratio("re-serialize 1 M files", "SerializeMillionFiles", 4, ""),
	}
	for _, way := range []string{"luo-v4-kho-block-v1-to-luo-v5", "luo-v5-to-luo-v4-kho-block-v1", "luo-v1_with_FLBs-to-luo-v5", "luo-v5-to-luo-v1_with_FLBs"} {
		name := "TranslateMillionFiles/" + way
		bound := max(25, 6*get(name, "ms-memcpy"))
		figures = append(figures, figure{name: "translate 1 M files, " + strings.ReplaceAll(way, "_", " "), bound: bound / 1e3, value: get(name, "ns/op") / 1e9,
			unit: milliseconds, timed: true, note: memcpys.format(get(name, "x-memcpy"))})
	}
	for _, mix := range []string{"dense", "scattered", "orders", "interleaved"} {
		name := "OpenAndWalkMillion/" + mix
		ms, ratio := get(name, "ms/million"), get(name, "x-memcpy")
		bound := max(10, 4*ms/ratio)
		figures = append(figures, figure{name: "prove and walk 1 M keys, " + mix, bound: bound / 1e3, value: ms / 1e3,
			unit: milliseconds, timed: true, note: memcpys.format(ratio) + " of the nodes"})
	}
	return figures, missing
}
