// Command demo shows crossings between two real kernels: it boots Linux under QEMU, lets linux/init make sessions and
// memfds there, and follows them through Ferry into the next Linux, as often as asked. It ends with a table of what
// each kernel had, and a verdict.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"ferry/linux"
	"ferry/linux/workload"
)

type cli struct {
	Build     string        `default:"build" help:"Folder with ferry, ferry.bzimage and linux/."`
	Script    string        `default:"./qemu.sh" help:"What boots the machine."`
	Sessions  int           `default:"100" help:"Sessions to preserve."`
	Files     int           `default:"10" help:"Files in each session."`
	Big       int           `default:"64" help:"MiB of one more file."`
	Crossings int           `default:"1" help:"Crossings in a row."`
	Kernels   []string      `help:"Releases to boot in turn, for example 6.19.14,7.3.4; the last one repeats. The newest if none is named."`
	CPUs      int           `name:"cpus" default:"2" help:"Processors of the machine."`
	Memory    string        `default:"1G" help:"Memory of the machine."`
	CPU       string        `default:"max,la57=off" help:"QEMU's -cpu."`
	Append    string        `help:"More words for the command line, for example ferry.mode=pass."`
	Timeout   time.Duration `default:"10m" help:"How long the machine may run."`
	Direct    bool          `help:"Without Ferry, from Linux straight to Linux."`
	Quiet     bool          `help:"Do not show the console."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("demo"), kong.Description("Crossings between real Linux kernels under QEMU."))
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func (c cli) run() error {
	r, err := c.plan()
	if err != nil {
		return err
	}
	tree, err := r.Initrd(c.Build)
	if err != nil {
		return fmt.Errorf("%w: run make run-linux, which builds it", err)
	}
	initrd, err := tree.Bytes()
	if err != nil {
		return err
	}
	watch := &stopwatch{}
	vm := linux.VM{
		Script: c.Script, CPU: c.CPU, CPUs: c.CPUs, Memory: c.Memory, Timeout: c.Timeout,
		Kernel: filepath.Join(c.Build, linux.Image(r.Release(0))), Initrd: initrd,
		Cmdline: strings.TrimSpace(linux.Cmdline + " " + r.Words() + " " + c.Append),
		Console: watch,
	}
	if !c.Quiet {
		vm.Console = io.MultiWriter(watch, os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log, err := vm.Run(ctx)
	verdict := r.Judge(log)
	if err != nil {
		verdict = append(verdict, err.Error())
	}
	c.table(log, watch.gaps)
	if len(verdict) > 0 {
		return fmt.Errorf("FAILED\n  %s", strings.Join(verdict, "\n  "))
	}
	fmt.Printf("verdict: every session and file of %d crossings arrived as it was\n", r.Rounds)
	return nil
}

// plan is the run that the options describe.
func (c cli) plan() (linux.Run, error) {
	r := linux.Run{
		Route: linux.Route{Releases: c.Kernels, Rounds: max(c.Crossings, len(c.Kernels)-1), Direct: c.Direct},
		Plan:  workload.Plan{Sessions: c.Sessions, Files: c.Files, Big: c.Big},
	}
	if len(c.Kernels) == 0 {
		newest, err := os.ReadFile(filepath.Join(c.Build, "linux/release"))
		if err != nil {
			return linux.Run{}, err
		}
		r.Releases = []string{strings.TrimSpace(string(newest))}
	}
	return r, nil
}

// table prints a row for each kernel.
func (c cli) table(log linux.Log, gaps []time.Duration) {
	way := "through Ferry"
	if c.Direct {
		way = "without Ferry"
	}
	fmt.Printf("\nLinux to Linux %s, %d CPUs, %s\n\n", way, c.CPUs, c.Memory)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "kernel\trelease\tsessions\tfiles\tbytes\tchecksum\tshutdown to banner\t")
	for i, kernel := range log.Kernels()[1:] {
		row := []string{fmt.Sprintf("%d made", i), kernel.Release(), "-", "-", "-", "", ""}
		line, ok := kernel.Find(linux.ReportPrefix + "made ")
		if i > 0 {
			row[0] = fmt.Sprintf("%d kept", i)
			line, ok = kernel.Find(linux.ReportPrefix + "kept ")
			if i <= len(gaps) {
				row[6] = fmt.Sprintf("%.2f s", gaps[i-1].Seconds())
			}
		}
		if ok {
			for j, key := range []string{"sessions", "files", "bytes", "digest"} {
				row[j+2] = field(line, key)
			}
		} else {
			row[0] = fmt.Sprintf("%d lost", i)
		}
		fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	w.Flush()
	fmt.Println()
}

// field returns the value of key=value in a report, with its digits in groups of three if it is a long number.
func field(line, key string) string {
	for _, word := range strings.Fields(line) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			if n, err := strconv.Atoi(value); err == nil && key != "digest" {
				return group(n)
			}
			return value
		}
	}
	return ""
}

func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// A stopwatch reads the console and measures from the last word of a kernel to the first one of the next.
type stopwatch struct {
	rest []byte
	left time.Time
	gaps []time.Duration
}

// Write takes a piece of the console.
func (s *stopwatch) Write(b []byte) (int, error) {
	s.rest = append(s.rest, b...)
	for {
		line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		s.rest = rest
		switch {
		case bytes.Contains(line, []byte("kexec_core: Starting new kernel")):
			s.left = time.Now()
		case bytes.Contains(line, []byte("] Linux version ")) && !s.left.IsZero():
			s.gaps = append(s.gaps, time.Since(s.left))
			s.left = time.Time{}
		}
	}
}
