package main

import (
	"fmt"
	"strconv"
	"strings"

	"ferry/boot/cmdline"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// What B may be told to expect.
const (
	crossed   = "crossed"
	damaged   = "damaged" // crossed, but for a file or two of the first session
	untouched = "untouched"
	cold      = "cold"
)

type options struct {
	role   string
	from   *standin.Generation // that Linux A is of
	to     *standin.Generation // that Linux B is of
	shape  standin.Shape
	damage string
	node   int // type of one more setup_data node, 0 for none
	expect string
	fdt    phys.Addr   // A's root FDT, for B to tell old from new
	used   phys.Ranges // memory of A's handover
	sum    uint64      // checksum of it, where B expects it untouched
	ferry  string      // Ferry's words
}

// parse reads the probe's words.
func parse(line string) (options, error) {
	o := options{role: "a", from: standin.F, to: standin.F, expect: crossed, shape: standin.Shape{Sessions: 1, Files: 1, RegionOrder: 9}}
	numbers := map[string]*int{"probe.sessions": &o.shape.Sessions, "probe.files": &o.shape.Files,
		"probe.fill": &o.shape.Fill, "probe.regions": &o.shape.Regions, "probe.tests": &o.shape.Tests, "probe.node": &o.node}
	for w := range cmdline.Options(line) {
		var err error
		switch {
		case strings.HasPrefix(w.Name, "ferry."):
			o.ferry += " " + w.Name + "=" + w.Value
		case numbers[w.Name] != nil:
			*numbers[w.Name], err = strconv.Atoi(w.Value)
		case w.Name == "probe.order":
			var n uint64
			n, err = strconv.ParseUint(w.Value, 0, 6)
			o.shape.RegionOrder = phys.Order(n)
		case w.Name == "probe.fdt":
			var n uint64
			n, err = strconv.ParseUint(w.Value, 0, 64)
			o.fdt = phys.Addr(n)
		case w.Name == "probe.sum":
			o.sum, err = strconv.ParseUint(w.Value, 0, 64)
		case w.Name == "probe.used":
			o.used, err = ranges(w.Value)
		case w.Name == "probe.from":
			o.from, err = standin.ByName(w.Value)
		case w.Name == "probe.to":
			o.to, err = standin.ByName(w.Value)
		case w.Name == "probe.odd":
			o.shape.Odd, err = standin.ParseOdd(w.Value)
		case w.Name == "probe.plain":
			o.shape.Plain = true
		case w.Name == "probe.role":
			o.role = w.Value
		case w.Name == "probe.break":
			o.damage = w.Value
		case w.Name == "probe.expect":
			o.expect = w.Value
		case strings.HasPrefix(w.Name, "probe."):
			err = fmt.Errorf("unknown word")
		}
		if err != nil {
			return o, fmt.Errorf("%s=%s: %w", w.Name, w.Value, err)
		}
	}
	return o, nil
}

// join writes ranges for the command line, ranges reads them.
func join(rs phys.Ranges) string {
	var list []string
	for _, r := range rs {
		list = append(list, fmt.Sprintf("%v-%v", r.Start, r.End))
	}
	return strings.Join(list, ",")
}

func ranges(list string) (phys.Ranges, error) {
	var rs phys.Ranges
	for _, w := range strings.Split(list, ",") {
		var start, end uint64
		if _, err := fmt.Sscanf(w, "0x%x-0x%x", &start, &end); err != nil {
			return nil, fmt.Errorf("range %q: %w", w, err)
		}
		rs = rs.Add(phys.Range{Start: phys.Addr(start), End: phys.Addr(end)})
	}
	return rs, nil
}
