package linux

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Fate is what became of the state that the first kernel of a run made.
type Fate string

// Fates.
const (
	Kept     Fate = "kept"    // all of it is in the last kernel, and no kernel complained
	Panicked Fate = "panic"   // a later kernel panicked
	Lost     Fate = "lost"    // a later kernel boots, without it
	Damaged  Fate = "damaged" // some of it is there, or a kernel complains
	Hung     Fate = "hung"    // the machine did not end
	Refused  Fate = "refused" // Ferry names what the next kernel cannot hold
)

// A Result is what one run of the compatibility suite showed.
type Result struct {
	Kind     string    // what the run is for, a part of the suite
	Route    Route     // of the run
	Fate     Fate      // of the state
	Words    []string  // lines of the console that say so; what was wrong, if it should not have been so
	Known    int       // kernels that gave the warning that is known, see Run.Judge
	Steps    []Step    // the kernels that booted
	Sessions int64     // made
	Files    int64     // made
	Bytes    int64     // made, in the files
	Seconds  float64   // of the host's time
	Date     time.Time // of the run
	Command  string    // that made it
}

// A Step is one kernel of a run, in its own words.
type Step struct {
	Banner string // release, builder, compiler
	Number string // live update number that it got, empty if it got none
	From   string // release of the kernel before and count of those before it, empty where the formats do not say
	Digest string // checksum over all files that it got
}

// Name is the name of the result's file: its kind and route.
func (r Result) Name() string {
	return r.Kind + "_" + strings.Join(r.Route.Releases, "_")
}

// Save writes the result and the log of its run into the folder.
func (r Result) Save(dir string, log Log) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, r.Name())
	return errors.Join(os.WriteFile(path+".json", b, 0o644), os.WriteFile(path+".log", []byte(log.String()+"\n"), 0o644))
}

// Results reads what Save wrote.
func Results(dir string) (all []Result, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Result tells the fate of the run's state from its log and the error with which the machine ended.
func (r Run) Result(kind string, log Log, err error) Result {
	result := Result{Kind: kind, Route: r.Route}
	result.Sessions, result.Files, result.Bytes = r.Plan.Totals()
	kernels := log.Kernels()[1:]
	for i, kernel := range kernels {
		result.Steps = append(result.Steps, Step{
			Banner: kernel.after("Linux version "),
			Number: kernel.after("liveupdate number: "),
			From:   kernel.after("KHO: exec from: "),
			Digest: kernel.field(ReportPrefix+"kept ", "digest"),
		})
		if len(r.known(i, kernel).Lines) < len(kernel.Lines) {
			result.Known++
		}
	}
	wrong := r.Judge(log)
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	last := Log{}
	if len(kernels) > 1 {
		last = kernels[len(kernels)-1]
	}
	switch {
	case len(wrong) == 0:
		result.Fate = Kept
	case errors.Is(err, ErrTimeout):
		result.Fate, result.Words = Hung, wrong
	case len(log.refusals()) > 0:
		result.Fate, result.Words = Refused, log.refusals()
		if more := len(result.Words) - 3; more > 0 {
			result.Words = slices.Insert(slices.Delete(result.Words, 2, 2+more), 2, fmt.Sprintf("(%d lines more)", more))
		}
	case last.Has("Kernel panic"):
		result.Fate, result.Words = Panicked, last.telling("Kernel panic", "luo", "LUO", "FLB")
	case last.Has("disabling KHO revival"):
		result.Fate, result.Words = Lost, last.telling("incompatible with", "disabling KHO revival", ReportPrefix+"FAIL")
	case last.Has(ReportPrefix+"FAIL") && !last.Has("KHO: found kexec handover data."):
		result.Fate, result.Words = Lost, last.telling(ReportPrefix+"FAIL")
	default:
		result.Fate, result.Words = Damaged, wrong
	}
	return result
}

// after returns what follows the text in the first line that contains it.
func (l Log) after(text string) string {
	line, _ := l.Find(text)
	_, rest, _ := strings.Cut(line, text)
	return rest
}

// refusal begins the lines in which Ferry says why it does not cross: errors, and a verdict.
var refusal = regexp.MustCompile(`^ferry: (error|HALTED|ROLLED BACK to [^:]*|PASSED ON to [^:]*|BOOTED [^:]* COLD): `)

// refusals returns the lines in which Ferry says why it does not cross. That it was told so is none.
func (l Log) refusals() (lines []string) {
	for _, line := range l.Lines {
		if refusal.MatchString(line) && !strings.HasPrefix(refusal.ReplaceAllString(line, ""), "unread, as ferry.mode=pass says") {
			lines = append(lines, line)
		}
	}
	return lines
}

// telling returns the lines that contain one of the texts, without the kernel's time.
func (l Log) telling(texts ...string) (lines []string) {
	for _, line := range l.Lines {
		for _, text := range texts {
			if strings.Contains(line, text) && !isOrdinary(line) {
				lines = append(lines, kernelLine.ReplaceAllString(line, ""))
				break
			}
		}
	}
	return lines
}
