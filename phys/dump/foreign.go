//go:build linux

package dump

import (
	"bytes"
	"fmt"
)

// others are forms that begin in a way that memory of a machine does not, what they are,
// and what to do.
var others = []struct{ magic, what, do string }{
	{"QEVM", "a snapshot of a virtual machine's devices and memory (QEMU migrate, savevm)", "dump with QEMU's dump-guest-memory"},
	{"LibvirtQemudSave", "a virtual machine saved by virsh save", "dump with virsh dump --memory-only"},
	{"LibvirtQemudPart", "a virtual machine that virsh save did not finish", "dump with virsh dump --memory-only"},
	{"EVML", "AVML's compressed form of LiME", "convert with avml-convert to LiME"},
	{"DISKDUMP", "a dump of diskdump or an old makedumpfile", "make it again with makedumpfile 1.4 or newer"},
	{"PAGEDU", "a dump of Windows", "dump the machine that ran Linux"},
	{"\x1f\x8b", "a file packed by gzip", "unpack it"},
	{"BZh", "a file packed by bzip2", "unpack it"},
	{"\xfd7zXZ\x00", "a file packed by xz", "unpack it"},
	{"\x28\xb5\x2f\xfd", "a file packed by zstd", "unpack it"},
	{"\x04\x22\x4d\x18", "a file packed by lz4", "unpack it"},
	{"QFI\xfb", "a disk image of QEMU", "dump the memory with dump-guest-memory; a disk has none"},
	{"makedumpfile", "a form of makedumpfile that is not known", "make it again with makedumpfile -d 0"},
	{"KDUMP", "a kdump-compressed dump with a damaged signature", "make it again"},
}

// foreign refuses a file that is known to be something else than memory.
func foreign(file []byte) error {
	for _, o := range others {
		if bytes.HasPrefix(file, []byte(o.magic)) {
			return fmt.Errorf("%s, want an ELF core, kdump-compressed, LiME or memory as it is (%s): %w", o.what, o.do, ErrFormat)
		}
	}
	return nil
}
