package boot

import (
	"errors"
	"fmt"
	"strings"

	"ferry/boot/cmdline"
	"ferry/boot/opened"
	"ferry/boot/protocol"
)

// ErrOpened is wrapped by the reasons for which an opened kernel is not to be
// entered here, and takes its own decompressor.
var ErrOpened = errors.New("boot: the opened kernel is not to be entered here")

// Processor is what an opened kernel depends on of the processor that enters it: its
// decompressor would change the first, and look after the last.
type Processor struct {
	FiveLevel    bool // runs with five levels of page tables
	HasFiveLevel bool // could run with five
	Encrypted    bool // memory is encrypted, as in a guest of SEV or TDX
}

// ParseOpened checks a kernel in the form of package opened. The Kernel keeps windows
// on part, which must not change while it is in use.
func ParseOpened(part []byte) (*Kernel, error) {
	o, err := opened.Parse(part)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKernel, err)
	}
	var b [protocol.OffHeaderMax]byte
	if len(o.Setup) > copy(b[protocol.OffHeader:], o.Setup) {
		return nil, refuse(fmt.Sprintf("setup header of %d bytes", len(o.Setup)), "at most %d", protocol.OffHeaderMax-protocol.OffHeader)
	}
	k, err := parseHeader(b[:])
	if err != nil {
		return nil, err
	}
	switch {
	case len(k.header) != len(o.Setup):
		return nil, refuse(fmt.Sprintf("setup header of %d bytes", len(o.Setup)), "the %d that it names", len(k.header))
	case !k.Relocatable || k.PrefAddress != o.Link || k.Alignment != o.Alignment:
		return nil, refuse(fmt.Sprintf("setup header for %v, aligned to %#x", k.PrefAddress, k.Alignment),
			"a relocatable kernel for %v, aligned to %#x", o.Link, o.Alignment)
	}
	k.Release, k.InitSize, k.opened = o.Release, o.Memory, o
	return k, k.check(0)
}

// Opened returns what an opened kernel is, nil for a bzImage.
func (k *Kernel) Opened() *opened.Kernel { return k.opened }

// Words by which the decompressor, and nobody else, does what Ferry does not.
var decompressors = []string{"mem=", "memmap=", "mem_encrypt=", "acpi_rsdp="}

// Enterable says why an opened kernel is not to be entered with a command line on a
// processor, by an error that wraps [ErrOpened]; nil: it is. inScratch is set if it
// is placed in scratch, so that no pages of 1 GiB are lost by it.
func (k *Kernel) Enterable(line string, cpu Processor, inScratch bool) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOpened, fmt.Sprintf(format, args...))
	}
	if cpu.Encrypted {
		return refuse("memory is encrypted, as in a guest of SEV or TDX")
	}
	if want := cpu.HasFiveLevel && !hasWord(line, "no5lvl"); want != cpu.FiveLevel {
		return refuse("the machine runs with %d levels of page tables, and its decompressor would turn on %d",
			map[bool]int{false: 4, true: 5}[cpu.FiveLevel], map[bool]int{false: 4, true: 5}[want])
	}
	if word := Steered(line, inScratch); word != "" {
		return refuse("%s on its command line is for its decompressor", word)
	}
	return nil
}

// Steered returns a word of a command line by which a decompressor places the kernel
// elsewhere than Ferry would, or leaves another state; empty if there is none.
func Steered(line string, inScratch bool) string {
	for word := range cmdline.Early(line) {
		bare := strings.TrimLeft(word, `"`)
		for _, prefix := range decompressors {
			if strings.HasPrefix(bare, prefix) {
				return word
			}
		}
		if size, ok := strings.CutPrefix(bare, "hugepagesz="); ok && !inScratch && size != "2M" {
			return word
		}
	}
	return ""
}

// hasWord reports whether a word is in a command line by itself, as the
// decompressor's cmdline_find_option_bool looks for it.
func hasWord(line, word string) bool {
	for w := range cmdline.Early(line) {
		if w == word {
			return true
		}
	}
	return false
}

// choose returns the kernel in the form in which it is to be started. A damaged part
// is an error, whatever else is there; form says why an opened kernel that is whole is
// not entered.
func (n *Next) choose() (k *Kernel, from Part, form string, err error) {
	if len(n.Opened.Bytes) > 0 {
		if k, err = ParseOpened(n.Opened.Bytes); err != nil {
			return nil, n.Opened, "", err
		}
		err = k.Enterable(n.Cmdline, n.Processor, len(n.Scratch) > 0)
		if err == nil || len(n.Kernel.Bytes) == 0 {
			return k, n.Opened, "", err
		}
		form = fmt.Sprintf("its bzImage is started: %v", err)
	}
	k, err = ParseKernel(n.Kernel.Bytes)
	return k, n.Kernel, form, err
}

// byChance chooses a place for an opened kernel, and by how much its addresses are
// moved, as its decompressor would: among what nothing else has. It reports whether
// there is a place and chance has a say.
func (plan *Plan) byChance(need Need, room *room) bool {
	o, n := plan.kernel.opened, &plan.next
	if n.Random == nil || hasWord(n.Cmdline, "nokaslr") {
		return false
	}
	free := room.pieces(need)
	at, slide := o.Choose(free, n.Random)
	if at.Empty() {
		return false
	}
	plan.Kernel, plan.slide, plan.randomised = at, slide, true
	plan.Form = fmt.Sprintf("it is entered opened, at one of %d places with one of %d offsets", o.Places(free), o.Slides())
	return true
}

// Chosen returns the kernel in the form in which [Params.Place] starts it, or the error
// of Place if there is none.
func (n *Next) Chosen() (*Kernel, error) {
	k, _, _, err := n.choose()
	return k, err
}
