package main

import (
	"fmt"
	"strconv"
	"strings"

	"ferry/boot"
	"ferry/cmd/probe/standin"
	"ferry/phys"
)

// What B may be told to expect.
const (
	crossed   = "crossed"
	untouched = "untouched"
	cold      = "cold"
)

type options struct {
	role   string
	shape  standin.Shape
	damage string
	expect string
	fdt    phys.Addr // A's root FDT, for B to tell old from new
	ferry  string    // Ferry's words
}

// parse reads the probe's words.
func parse(cmdline string) (options, error) {
	o := options{role: "a", expect: crossed, shape: standin.Shape{Sessions: 1, Files: 1, RegionOrder: 9}}
	numbers := map[string]*int{"probe.sessions": &o.shape.Sessions, "probe.files": &o.shape.Files,
		"probe.fill": &o.shape.Fill, "probe.regions": &o.shape.Regions}
	for _, w := range boot.Options(cmdline) {
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
