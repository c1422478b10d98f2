package kho

import "strings"

// ParseCompatible takes a version string apart: a base such as "kho-v4", and the
// versions of the components that its layout is made of, in their order. Three
// spellings are known: only the base; components behind semicolons, as in
// "kho-v4;radix-v1;vmalloc-v1"; one glued on by a hyphen, as in
// "luo-v4-kho-block-v1". Only the spelling is looked at: a string that has no
// version is a base.
func ParseCompatible(s string) (base string, components []string) {
	base, rest, more := strings.Cut(s, ";")
	if more {
		components = strings.Split(rest, ";")
	}
	if end := versionEnd(base); end > 0 && end < len(base) && base[end] == '-' {
		components = append([]string{base[end+1:]}, components...)
		base = base[:end]
	}
	return base, components
}

// versionEnd returns where the first "-v" with digits behind it ends, which must
// be at the end of a word; 0 if there is none.
func versionEnd(s string) int {
	for at := 0; ; {
		i := strings.Index(s[at:], "-v")
		if i < 0 {
			return 0
		}
		at += i + len("-v")
		end := at
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if end > at && (end == len(s) || s[end] == '-') {
			return end
		}
	}
}

// unreleased says of version strings what is known of them. None was ever in a
// release, and some named more than one layout, so none is read.
var unreleased = map[string]string{
	"kho-v2":                     "the radix tree while it was developed, with and without sizes of sub-trees under one string",
	"kho-v4;radix-v1;vmalloc-v1": "the layout of kho-v4 with its components named, proposed in June 2026",
}

// maxVersion is the length of the longest version string that is looked at, in
// bytes.
const maxVersion = 64

// variant says what is known of a version string that no format has, in words
// that name it and follow a list of such strings; empty if that is nothing.
func variant(s []byte) string {
	if len(s) > maxVersion {
		return ""
	}
	if what := unreleased[string(s)]; what != "" {
		return ": " + string(s) + " is " + what
	}
	base, components := ParseCompatible(string(s))
	if len(components) == 0 {
		return ""
	}
	return ": " + string(s) + " is " + base + " made of " + strings.Join(components, " and ") + ", which no release wrote"
}
