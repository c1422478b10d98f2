//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"ferry/linux"
	"ferry/linux/workload"
)

// A config is what the words of the command line that begin with "crossing." say.
type config struct {
	plan       workload.Plan // crossing.sessions, crossing.files, crossing.big, crossing.wide, crossing.plan=mixed|shared|broken
	route      linux.Route   // crossing.kernels: releases, comma separated; crossing.rounds; crossing.direct=1
	round      int           // crossing.round: kernels before this one, 0 for the first
	from       string        // crossing.from: who hands over, as the payload says it; nobody if empty
	plain      bool          // crossing.plain=1: without ferry load
	dump       int           // crossing.dump: how many of them to print
	fragmented bool          // crossing.fragmented=1: the first kernel's memory is in pieces
	lists      int           // crossing.lists: how many lists of kho-v1 to tell apart, instead of a crossing
	force      bool          // crossing.force=1: ferry load overrules its doubts
	unmade     bool          // crossing.unmade=1: a kernel without LUO is not told to make its handover
	cases      bool          // crossing.cases=1: what the host tool makes of linux.Cases, instead of a crossing
	more       string        // crossing.next: one word more for the kernels after the first
	region     string        // name of the region that reserve_mem= asks for, if any
	cmdline    string        // whole
}

func readConfig(path string) (config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return config{}, err
	}
	return parseConfig(strings.TrimSpace(string(b)))
}

func parseConfig(cmdline string) (config, error) {
	c := config{cmdline: cmdline}
	c.route.Rounds = 1
	seals := ""
	numbers := map[string]*int{
		"sessions": &c.plan.Sessions, "files": &c.plan.Files, "big": &c.plan.Big, "wide": &c.plan.Wide,
		"round": &c.round, "rounds": &c.route.Rounds, "lists": &c.lists, "dump": &c.dump,
	}
	for _, word := range strings.Fields(c.cmdline) {
		key, value, _ := strings.Cut(word, "=")
		if key == "reserve_mem" {
			c.region = value[strings.LastIndex(value, ":")+1:]
		}
		key, ours := strings.CutPrefix(key, "crossing.")
		if !ours {
			continue
		}
		n, number := numbers[key]
		switch {
		case number:
			var err error
			if *n, err = strconv.Atoi(value); err != nil || *n < 0 {
				return config{}, fmt.Errorf("command line: %q: want a number", word)
			}
		case key == "direct" && value == "1":
			c.route.Direct = true
		case key == "from" && value != "":
			c.from = value
		case key == "force" && value == "1":
			c.force = true
		case key == "unmade" && value == "1":
			c.unmade = true
		case key == "cases" && value == "1":
			c.cases = true
		case key == "next" && value != "":
			c.more = value
		case key == "plain" && value == "1":
			c.plain = true
		case key == "fragmented" && value == "1":
			c.fragmented = true
		case key == "plan" && value == "mixed":
			c.plan.Mixed = true
		case key == "plan" && value == "shared":
			c.plan.Shared = true
		case key == "plan" && value == "broken":
			c.plan.Broken = true
		case key == "seals" && (value == "any" || value == "plain"):
			seals = value
		case key == "kernels" && value != "":
			c.route.Releases = strings.Split(value, ",")
		default:
			return config{}, fmt.Errorf("command line: unknown word %q", word)
		}
	}
	if c.route.Releases == nil {
		return config{}, fmt.Errorf("command line: no crossing.kernels=")
	}
	c.plan.Plain = seals == "plain" || seals == "" && !workload.AllHoldSeals(c.route.History(c.route.Rounds))
	return c, nil
}

// next is the command line of the next round.
func (c config) next() string {
	var words []string
	for _, word := range strings.Fields(c.cmdline) {
		if !strings.HasPrefix(word, "crossing.round=") {
			words = append(words, word)
		}
	}
	if c.more != "" && c.round == 0 {
		words = append(words, c.more)
	}
	return strings.Join(append(words, fmt.Sprintf("crossing.round=%d", c.round+1)), " ")
}
