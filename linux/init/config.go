//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"ferry/linux/workload"
)

// A config is what the words of the command line that begin with "crossing." say.
type config struct {
	plan    workload.Plan // crossing.sessions, crossing.files, crossing.big
	round   int           // crossing.round: kernels before this one, 0 for the first
	rounds  int           // crossing.rounds: how many crossings to make
	direct  bool          // crossing.direct=1: without the stage
	cmdline string        // whole
}

func readConfig(path string) (config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return config{}, err
	}
	c := config{cmdline: strings.TrimSpace(string(b)), rounds: 1}
	numbers := map[string]*int{
		"sessions": &c.plan.Sessions, "files": &c.plan.Files, "big": &c.plan.Big, "round": &c.round, "rounds": &c.rounds,
	}
	for _, word := range strings.Fields(c.cmdline) {
		key, value, _ := strings.Cut(word, "=")
		key, ours := strings.CutPrefix(key, "crossing.")
		if !ours {
			continue
		}
		if key == "direct" {
			c.direct = value == "1"
			continue
		}
		n, known := numbers[key]
		if !known {
			return config{}, fmt.Errorf("command line: unknown word %q", word)
		}
		if *n, err = strconv.Atoi(value); err != nil || *n < 0 {
			return config{}, fmt.Errorf("command line: %q: want a number", word)
		}
	}
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
	return strings.Join(append(words, fmt.Sprintf("crossing.round=%d", c.round+1)), " ")
}
