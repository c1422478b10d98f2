package vmlinux

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// Formats are the strings of a kernel that name a format of the handover, each
// list sorted and without repetitions. A kernel has one of a kind; a list of
// several is for the caller to refuse.
type Formats struct {
	KHO      []string // of the handover's root: "kho-v1"
	LUO      []string // of the live update orchestrator: "luo-v1", "luo-v4-kho-block-v1"
	Sessions []string // of its session node, if the state is a device tree: "luo-session-v2"
	FLBs     []string // of its node for data of subsystems: "luo-flb-v1"
	Memfd    []string // of the memfd file handler: "memfd-v1"

	// Features says that the kernel describes its formats by a table of feature
	// bits (section .liveupdate_features), which no release does.
	Features bool
}

// kinds are the names that go before "-v" and a number, the longer first where
// one begins with another.
var kinds = []struct {
	name string
	list func(*Formats) *[]string
}{
	{"kho", func(f *Formats) *[]string { return &f.KHO }},
	{"luo-session", func(f *Formats) *[]string { return &f.Sessions }},
	{"luo-flb", func(f *Formats) *[]string { return &f.FLBs }},
	{"luo", func(f *Formats) *[]string { return &f.LUO }},
	{"memfd", func(f *Formats) *[]string { return &f.Memfd }},
}

// format is what follows the name: a version, and components that are joined by
// "-" in one development series and by ";" in another.
var versions = regexp.MustCompile(`^v[0-9]+([-;][a-z0-9_]+(-v[0-9]+)?)*$`)

// maxFormat is the longest string that is looked at, in bytes with its end. The
// longest field for one in any format has 48.
const maxFormat = 64

// features is the name of the section that holds the table of feature bits.
var features = []byte("\x00.liveupdate_features\x00")

// FindFormats looks for the strings in a decompressed kernel, or in anything else
// that holds some. Each ends with a
// NUL. Before it is a NUL if the compiler collected the strings, and any byte,
// such as the end of a pointer, if the kernel has an array; only the end of a
// longer word is ruled out.
func FindFormats(vmlinux []byte) (f Formats) {
	for _, kind := range kinds {
		list := kind.list(&f)
		prefix := []byte(kind.name + "-v")
		for at := 0; ; {
			i := bytes.Index(vmlinux[at:], prefix)
			if i < 0 {
				break
			}
			i += at
			at = i + len(prefix)
			if i > 0 && wordByte(vmlinux[i-1]) {
				continue
			}
			s, _, ended := bytes.Cut(vmlinux[i:min(i+maxFormat, len(vmlinux))], []byte{0})
			if ended && versions.Match(s[len(kind.name)+1:]) && !slices.Contains(*list, string(s)) {
				*list = append(*list, string(s))
			}
		}
		slices.Sort(*list)
	}
	f.Features = bytes.Contains(vmlinux, features)
	return f
}

// wordByte reports whether a byte belongs to a name.
func wordByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-_.;:/", b) >= 0
}

// maxRelease is the length of a release, __NEW_UTS_LEN, in bytes.
const maxRelease = 64

// banner returns the release in the kernel's banner, "Linux version 7.3.4
// (user@host) ...". A kernel has it twice, equal.
func banner(vmlinux []byte) string {
	prefix := []byte("Linux version ")
	for at := 0; ; {
		i := bytes.Index(vmlinux[at:], prefix)
		if i < 0 {
			return ""
		}
		at += i + len(prefix)
		if s := firstWord(string(vmlinux[at:min(at+maxRelease+1, len(vmlinux))])); releases.MatchString(s) {
			return s
		}
	}
}

// releases is the form of a release; the banner's format string does not have it.
var releases = regexp.MustCompile(`^[0-9]+\.[0-9]+[!-~]*$`)

// firstWord returns a string up to the first space.
func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
