package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"ferry/crossing"
	"ferry/memfd"
)

// A row is a generation as `ferry abi` shows it.
type row struct {
	Generation string            `json:"generation"`
	Releases   string            `json:"releases"`
	KHO        string            `json:"kho"`
	LUO        string            `json:"luo,omitempty"`
	Memfd      string            `json:"memfd,omitempty"`
	Sessions   int               `json:"sessions"` // at most
	Files      int               `json:"files"`    // in one session, at most
	Order      int               `json:"order"`    // of a block that is given back as one, at most
	To         map[string]passes `json:"to"`
}

// passes says how much of a state crosses from one generation to another.
type passes string

const (
	everything   passes = "all"
	withinLimits passes = "limits" // what the target's limits hold; anything else is refused before anything is written
	noSessions   passes = "kho"    // only a handover without sessions
)

var legend = []struct {
	passes passes
	text   string
}{
	{everything, "everything crosses"},
	{withinLimits, "everything that the target holds: see its sessions, files in a session, order of a block, and seals of memfds;\n" +
		"        more is refused before anything is written"},
	{noSessions, "the target has no sessions: what is preserved without any crosses"},
}

// crosses says how much of a state crosses.
func crosses(from, to *crossing.Generation) passes {
	switch {
	case from.LUO != nil && to.LUO == nil:
		return noSessions
	case to.KHO.MaxRestore() < from.KHO.MaxRestore(),
		from.LUO != nil && (to.LUO.MaxSessions() < from.LUO.MaxSessions() || to.LUO.MaxFiles() < from.LUO.MaxFiles()),
		flbs(from) && !flbs(to),
		slices.Index(memfd.Formats(), to.Memfd) < slices.Index(memfd.Formats(), from.Memfd): // the older has fewer seals
		return withinLimits
	}
	return everything
}

func rows(table []*crossing.Generation) (all []row) {
	for _, g := range table {
		r := row{Generation: g.Name, Releases: g.Releases(), KHO: g.KHO.String(), Order: int(g.KHO.MaxRestore()), To: map[string]passes{}}
		if g.LUO != nil {
			r.LUO, r.Sessions, r.Files = g.LUO.String(), g.LUO.MaxSessions(), g.LUO.MaxFiles()
		}
		if g.Memfd != nil {
			r.Memfd = g.Memfd.Handler()
		}
		for _, to := range table {
			r.To[to.Name] = crosses(g, to)
		}
		all = append(all, r)
	}
	return all
}

// printGenerations prints what can be crossed.
func printGenerations(out io.Writer, asJSON bool) error {
	all := rows(crossing.Generations())
	if asJSON {
		return printJSON(out, all)
	}
	dash := func(s string) string {
		if s == "" || s == "0" {
			return "-"
		}
		return s
	}
	t := newTable(out, "generation", "Linux", "kho", "luo", "memfd", "sessions", "files", "order")
	for _, r := range all {
		t.row(r.Generation, r.Releases, r.KHO, dash(r.LUO), dash(r.Memfd),
			dash(strconv.Itoa(r.Sessions)), dash(strconv.Itoa(r.Files)), strconv.Itoa(r.Order))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	head := []string{"from \\ to"}
	for _, r := range all {
		head = append(head, r.Generation)
	}
	t = newTable(out, head...)
	for _, from := range all {
		line := []string{from.Generation}
		for _, to := range all {
			line = append(line, string(from.To[to.Generation]))
		}
		t.row(line...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, l := range legend {
		fmt.Fprintf(out, "%-6s  %s\n", l.passes, l.text)
	}
	return nil
}
