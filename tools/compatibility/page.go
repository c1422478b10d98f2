package main

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ferry/linux"
)

const head = `# Compatibility between real kernels

Written by ` + "`make test-matrix`" + ` from the runs that it makes, and not by hand. Every cell is one run: a machine under QEMU (TCG,
one processor, 1 GiB) boots the first kernel, which makes live state and starts the next one, with Ferry between them or
without it. The last kernel compares names, tokens, sizes, positions, seals and every byte with what was made, the
release and count of kernels before it, and the live update number. A reserved region of memory has to be where and what it was. No
kernel may complain of anything.

In a pair the state is %s: sessions without files, with one, and with 128, the most that Linux
7.1 and older take; files of 0 bytes, 1 byte, 3 pages, and of up to 6 MiB in folios of 2 MiB, one of them sparse; and 1 MiB of
` + "`reserve_mem=`" + `. Linux before 6.19 has no LUO: to and from it goes what is handed over beside sessions, that region and, from
6.17 on, the folios of test_kho, which checks them itself; that of 6.17 and the later ones do not read each other's.

Ferry gives a file that comes from 6.19 or 7.0 the seals 0x1 (F_SEAL_SEAL), as these kernels themselves do with
every file: their format has no place for seals. So a pair with one of them has files with seals 0 and 0x1; the other pairs have
any seals.

`

// page is the whole of docs/compatibility.md.
func page(results []linux.Result) []byte {
	byDate := func(a, b linux.Result) int { return a.Date.Compare(b.Date) }
	first, last := slices.MinFunc(results, byDate), slices.MaxFunc(results, byDate)
	slices.SortStableFunc(results, func(a, b linux.Result) int { return slices.Compare(a.Route.Releases, b.Route.Releases) })
	var b bytes.Buffer
	t := table{results: results, series: releases(results, "through")}
	state := "-"
	if at := slices.IndexFunc(results, func(r linux.Result) bool { return r.Kind == "through" && r.Sessions > 0 }); at >= 0 {
		r := results[at]
		state = fmt.Sprintf("%d sessions, %d files and %d bytes", r.Sessions, r.Files, r.Bytes)
	}
	fmt.Fprintf(&b, head, state)
	seconds := 0.0
	for _, r := range results {
		seconds += r.Seconds
	}
	fmt.Fprintf(&b, "%d runs by `%s`, %s to %s UTC, %.0f s of machines.\n\n", len(results), last.Command,
		first.Date.Format("2006-01-02 15:04"), last.Date.Format("15:04"), seconds)
	if missing := t.missing(); len(missing) > 0 {
		fmt.Fprintf(&b, "Not there: a kernel of %s.\n\n", strings.Join(missing, ", "))
	}
	b.WriteString("| kernel | as it names itself |\n| --- | --- |\n")
	for _, k := range kernels(results) {
		fmt.Fprintf(&b, "| %s | `%s` |\n", k[0], k[1])
	}

	fmt.Fprintf(&b, "\n## Without Ferry\n\nFrom the kernel of the row to that of the column: %s\n\n", t.count("without"))
	t.matrix(&b, "without")
	b.WriteString("\nWhat the second kernel says:\n\n")
	t.words(&b, "without")
	fmt.Fprintf(&b, "\n## Through Ferry\n\n%s\n\n", t.count("through"))
	t.matrix(&b, "through")
	if slices.ContainsFunc(results, func(r linux.Result) bool { return r.Known > 0 }) {
		b.WriteString(known)
	}
	t.words(&b, "through")
	for _, s := range sections {
		t.section(&b, s)
	}
	t.chains(&b)
	b.WriteString("\n## Before and after\n\n<!-- before and after: begin -->\n")
	t.summary(&b)
	b.WriteString("<!-- before and after: end -->\n")
	return b.Bytes()
}

const known = `
¹ The second kernel warns once, "refcount_t: underflow": it was built with CONFIG_LIVEUPDATE_TEST, whose test objects
(FLBs) it lets go of with the last file, and Linux 6.19 does not know such objects. Ferry invents no record. The warning is counted
as known, once in such a kernel, and nothing else is.
`

// A section is one table of runs beside the pairs.
type section struct {
	title, text string
	kinds       []string
}

var sections = []section{
	{"More than the older formats are declared for", "900 sessions with one file each and one with 200 files, made by 7.2 and 7.3. Linux 7.1 and older make at " +
		"most 819 sessions and 128 files in one, but read more: with `ferry.beyond-limits=1` Ferry writes more. They could not make so many for a next crossing.",
		[]string{"beyond"}},
	{"What Ferry refuses", "Before anything is written, by name; here with `ferry.on-error=cold`.", []string{"limit", "files", "seals", "sessions"}},
}

type table struct {
	results []linux.Result
	series  []string // releases of the pairs, in order
}

func (t table) find(kind string, way ...string) (linux.Result, bool) {
	for _, r := range t.results {
		if r.Kind == kind && slices.Equal(r.Route.Releases, way) {
			return r, true
		}
	}
	return linux.Result{}, false
}

// matrix writes a cell for each pair.
func (t table) matrix(b *bytes.Buffer, kind string) {
	fmt.Fprintf(b, "| from \\ to | %s |\n| --- |%s\n", strings.Join(t.series, " | "), strings.Repeat(" --- |", len(t.series)))
	for _, from := range t.series {
		fmt.Fprintf(b, "| %s |", from)
		for _, to := range t.series {
			r, ok := t.find(kind, from, to)
			fmt.Fprintf(b, " %s |", cell(r, ok))
		}
		b.WriteString("\n")
	}
}

func cell(r linux.Result, ok bool) string {
	if !ok {
		return "not run"
	}
	text := string(r.Fate)
	if r.Fate != linux.Kept {
		text = "**" + text + "**"
	}
	if r.Known > 0 {
		text += "¹"
	}
	return text
}

// count says how many pairs keep their state.
func (t table) count(kind string) string {
	kept, all := 0, 0
	for _, r := range t.pairs(kind) {
		all++
		if r.Fate == linux.Kept {
			kept++
		}
	}
	return fmt.Sprintf("%d of %d pairs keep all of the state.", kept, all)
}

// pairs returns the results of the matrix.
func (t table) pairs(kind string) (pairs []linux.Result) {
	for _, from := range t.series {
		for _, to := range t.series {
			if r, ok := t.find(kind, from, to); ok {
				pairs = append(pairs, r)
			}
		}
	}
	return pairs
}

// number is an address, which changes from run to run; numbers of other lengths are tokens and flags.
var number = regexp.MustCompile(`\b0x[0-9a-f]{5,12}\b`)

// words lists what the kernels say where the state is not kept, with the pairs that say the same.
func (t table) words(b *bytes.Buffer, kind string) {
	type group struct {
		fate  linux.Fate
		words string
		pairs []string
	}
	var groups []*group
	for _, r := range t.pairs(kind) {
		if r.Fate == linux.Kept {
			continue
		}
		words := quote(r.Words)
		at := slices.IndexFunc(groups, func(g *group) bool { return g.fate == r.Fate && g.words == words })
		if at < 0 {
			at = len(groups)
			groups = append(groups, &group{fate: r.Fate, words: words})
		}
		groups[at].pairs = append(groups[at].pairs, strings.Join(r.Route.Releases, " -> "))
	}
	if len(groups) == 0 {
		return
	}
	b.WriteString("| pairs | state | words |\n| --- | --- | --- |\n")
	for _, g := range groups {
		fmt.Fprintf(b, "| %s | %s | %s |\n", strings.Join(g.pairs, ", "), g.fate, g.words)
	}
}

// quote is the words as one cell, with addresses left out.
func quote(words []string) string {
	var quoted []string
	for _, w := range words {
		w = strings.ReplaceAll(number.ReplaceAllString(w, "0x..."), "|", "/")
		quoted = append(quoted, "`"+strings.TrimSpace(strings.ReplaceAll(w, "`", "'"))+"`")
	}
	return strings.Join(quoted, "<br>")
}

// section writes a row for each run of the section.
func (t table) section(b *bytes.Buffer, s section) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| from the first kernel to the last | state | words |\n| --- | --- | --- |\n", s.title, s.text)
	for _, r := range t.results {
		if slices.Contains(s.kinds, r.Kind) {
			fmt.Fprintf(b, "| %s | %s | %s |\n", strings.Join(r.Route.Releases, " -> "), cell(r, true), quote(r.Words))
		}
	}
}

// chains writes a row for each kernel of a chain.
func (t table) chains(b *bytes.Buffer) {
	for _, r := range t.results {
		if r.Kind != "chain" {
			continue
		}
		state := fmt.Sprintf("%d sessions and %d files", r.Sessions, r.Files)
		if r.Sessions == 0 {
			state = "a reserved region and the folios of test_kho"
		}
		fmt.Fprintf(b, "\n## A chain in one boot, with %s: %s\n\nEvery kernel takes them over, compares them, and hands them on through Ferry. The live update number counts\n"+
			"the kernels with LUO; the release before and the count of kexecs are handed on by 7.1 and later alone.\n\n", state, cell(r, true))
		b.WriteString("| | kernel | live update number | exec from | checksum of all files |\n| --- | --- | --- | --- | --- |\n")
		for i, step := range r.Steps {
			fmt.Fprintf(b, "| %d | %s | %s | %s | %s |\n", i, r.Route.Release(i), step.Number, step.From, step.Digest)
		}
		if len(r.Words) > 0 {
			fmt.Fprintf(b, "\n%s\n", quote(r.Words))
		}
	}
}

// summary is the short table of before and after: a row for each thing that happens without Ferry.
func (t table) summary(b *bytes.Buffer) {
	b.WriteString("| without Ferry | pairs | through Ferry |\n| --- | --- | --- |\n")
	for _, fate := range []linux.Fate{linux.Kept, linux.Lost, linux.Panicked, linux.Damaged, linux.Hung} {
		var pairs []string // those from one kernel as one
		all, kept, last := 0, 0, ""
		for _, r := range t.pairs("without") {
			if r.Fate != fate {
				continue
			}
			from, to := linux.Series(r.Route.Releases[0]), linux.Series(r.Route.Releases[1])
			if from == last {
				pairs[len(pairs)-1] += ", " + to
			} else {
				pairs = append(pairs, from+" -> "+to)
			}
			all, last = all+1, from
			if after, ok := t.find("through", r.Route.Releases...); ok && after.Fate == linux.Kept {
				kept++
			}
		}
		if len(pairs) > 0 {
			fmt.Fprintf(b, "| %s | %d: %s | %d of %d kept |\n", meaning[fate], all, strings.Join(pairs, "; "), kept, all)
		}
	}
}

var meaning = map[linux.Fate]string{
	linux.Kept:     "the state arrives",
	linux.Lost:     "the state is lost: \"disabling KHO revival\", and its memory is used as free memory",
	linux.Panicked: "the second kernel panics in early boot",
	linux.Damaged:  "part of the state is lost or damaged",
	linux.Hung:     "the machine hangs",
}

// releases returns those that runs of the kind start from, the oldest formats first.
func releases(results []linux.Result, kind string) (all []string) {
	for _, r := range results {
		if r.Kind == kind {
			all = append(all, r.Route.Releases...)
		}
	}
	slices.SortFunc(all, linux.Compare)
	return slices.Compact(all)
}

// missing returns the series of the matrix of which no kernel is in the results.
func (t table) missing() []string {
	return slices.DeleteFunc(linux.Matrix(), func(series string) bool {
		return slices.ContainsFunc(t.series, func(name string) bool { return linux.Series(name) == series })
	})
}

// kernels returns the name and banner of each kernel, the oldest formats first.
func kernels(results []linux.Result) (all [][2]string) {
	for _, r := range results {
		for i, step := range r.Steps {
			all = append(all, [2]string{r.Route.Release(i), step.Banner})
		}
	}
	slices.SortFunc(all, func(a, b [2]string) int { return cmp.Or(linux.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	return slices.Compact(all)
}
