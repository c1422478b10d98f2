package kernel

import "ferry/boot/protocol"

// readAddedRAM takes over the RAM that the command line names beside the map, as
// package boot reads it: memmap=size@start, by which Linux is told of memory that the
// firmware does not call RAM, and ferry.ram=, by which ferry load names what the
// kernel before has and kexec does not pass on.
func (m *machine) readAddedRAM() {
	first := m.e820.Count
	for i := uint64(0); i < m.cmdlineLen; {
		if m.blankAt(i) {
			i++
			continue
		}
		if m.wordAt(i, "--") && (i+2 == m.cmdlineLen || m.blankAt(i+2)) {
			break
		}
		word := i
		if m.wordAt(i, `"`) {
			word++
		}
		if m.wordAt(word, "memmap=") {
			m.addRAM(word + 7)
		} else if m.wordAt(word, "ferry.ram=") {
			m.addRAM(word + 10)
		}
		quoted := false
		for i < m.cmdlineLen && (quoted || !m.blankAt(i)) {
			quoted = quoted != (m.cmdline[i&(maxCmdline-1)] == '"')
			i++
		}
	}
	m.mapRAM(first)
}

// addRAM takes the ranges of one word over, which start at i.
func (m *machine) addRAM(i uint64) {
	for {
		size, next, ok := m.bytesAt(i)
		if ok && m.cmdline[next&(maxCmdline-1)] == '@' {
			start, end, ok := m.bytesAt(next + 1)
			if ok && start <= protocol.MaxPhys && size <= protocol.MaxPhys-start {
				m.addRegion(start, size, protocol.E820RAM)
			}
			next = end
		}
		for next < m.cmdlineLen && m.cmdline[next&(maxCmdline-1)] != ',' {
			if m.blankAt(next) {
				return
			}
			next++
		}
		if next >= m.cmdlineLen {
			return
		}
		i = next + 1
	}
}

// bytesAt reads a number of bytes at i in the command line, as memparse of Linux
// does, and returns where it ends; ok is false where there is none that 64 bits hold.
func (m *machine) bytesAt(i uint64) (n, end uint64, ok bool) {
	base := uint64(10)
	if m.wordAt(i, "0x") || m.wordAt(i, "0X") {
		base, i = 16, i+2
	} else if m.wordAt(i, "0") {
		base = 8
	}
	ok = true
	first := i
	for ; i < m.cmdlineLen; i++ {
		c := m.cmdline[i&(maxCmdline-1)]
		d := uint64(c - '0')
		if c >= 'a' && c <= 'f' {
			d = uint64(c-'a') + 10
		} else if c >= 'A' && c <= 'F' {
			d = uint64(c-'A') + 10
		}
		if d >= base {
			break
		}
		if n > (1<<64-1-d)/base {
			ok = false
		}
		n = n*base + d
	}
	if i == first {
		return 0, i, false
	}
	shift, c := uint64(0), m.cmdline[i&(maxCmdline-1)]|0x20
	for s := uint64(0); s < 6; s++ {
		if c == "kmgtpe"[s] && i < m.cmdlineLen {
			shift = 10 * (s + 1)
		}
	}
	if shift > 0 {
		i++
	}
	return n << shift, i, ok && n<<shift>>shift == n
}

// wordAt reports whether the command line has the text at i.
func (m *machine) wordAt(i uint64, text string) bool {
	if uint64(len(text)) > m.cmdlineLen-i {
		return false
	}
	for n := uint64(0); n < uint64(len(text)); n++ {
		if m.cmdline[(i+n)&(maxCmdline-1)] != text[n] {
			return false
		}
	}
	return true
}

// blankAt reports whether Linux takes the byte at i for a space.
func (m *machine) blankAt(i uint64) bool {
	c := m.cmdline[i&(maxCmdline-1)]
	return c == ' ' || c >= '\t' && c <= '\r' || c == 0xa0
}
