package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"ferry/linker"
)

type versionCmd struct {
	Stage string `type:"existingfile" placeholder:"FILE" help:"Stage whose version is printed as well: ferry.bzimage."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// versions are what ferry version prints.
type versions struct {
	Ferry    string `json:"ferry"`              // of this tool
	Revision string `json:"revision,omitempty"` // of its sources; empty if it was built without
	Modified bool   `json:"modified,omitempty"` // the sources were changed since
	Go       string `json:"go"`                 // that built it
	Stage    string `json:"stage,omitempty"`    // of the stage, as its setup header has it
}

// Run prints the versions.
func (c *versionCmd) Run() error { return c.print(os.Stdout) }

func (c *versionCmd) print(out io.Writer) error {
	v := versions{Ferry: linker.Version}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if c.Stage != "" {
		stage, err := openStage(c.Stage)
		if err != nil {
			return err
		}
		v.Stage = strings.TrimPrefix(stage.Release, "ferry ")
	}
	if c.JSON {
		return printJSON(out, v)
	}
	say := linePrinter(out)
	text := v.Ferry
	if v.Revision != "" {
		text += ", of revision " + v.Revision[:min(12, len(v.Revision))]
	}
	if v.Modified {
		text += " and changes"
	}
	say("ferry", text+", built by "+v.Go)
	if c.Stage != "" {
		say("stage", fmt.Sprintf("%s, in %s", v.Stage, c.Stage))
	}
	return nil
}
