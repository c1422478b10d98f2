package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/phys"
)

// live is the file system of a host that is ready for a crossing, as Linux 7.3 with 6 GiB shows it.
func live() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"proc/cmdline":                          file("console=ttyS0 kho=on liveupdate=on\n"),
		"proc/mounts":                           file("proc /proc proc rw 0 0\ndebugfs /sys/kernel/debug debugfs rw 0 0\n"),
		"proc/cpuinfo":                          file("processor\t: 0\nflags\t\t: fpu vme lm\nbugs\t\t: la57\n"),
		"dev/liveupdate":                        file(""),
		"sys/kernel/debug/kho/out/scratch_phys": file("0x3a000000\n0x3a000000\n0x2c800000\n"),
		"sys/kernel/debug/kho/out/scratch_len":  file("0x4800000\n0x0\n0xd800000\n"),
		"sys/kernel/kexec_loaded":               file("0\n"),
	}
}

func TestHostReportsScratchInTheKernelsOrder(t *testing.T) {
	got, err := host{live()}.scratch()
	if err != nil {
		t.Fatal(err)
	}
	want := []phys.Range{
		{Start: 0x3a000000, End: 0x3e800000}, {Start: 0x3a000000, End: 0x3a000000}, {Start: 0x2c800000, End: 0x3a000000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scratch (-want +got):\n%s", diff)
	}
}

// Each row takes one thing away from a good host and names what the operator is told to do.
func TestHostSaysWhatIsMissingAndWhatToDo(t *testing.T) {
	tests := []struct {
		name   string
		remove string // prefix of paths
		write  map[string]string
		want   string
	}{
		{"no proc", "proc/", nil, "mount -t proc proc /proc"},
		{"no debugfs", "proc/mounts", map[string]string{"proc/mounts": "proc /proc proc rw 0 0\n"}, "mount -t debugfs"},
		{"KHO turned off", "sys/kernel/debug/kho", map[string]string{"proc/cmdline": "kho=off"}, "this kernel was told kho=off"},
		{"KHO not asked for", "sys/kernel/debug/kho", nil, "boot with kho=on"},
		{"KHO failed", "sys/kernel/debug/kho/out", map[string]string{"sys/kernel/debug/kho/in/fdt": ""}, "turned it off"},
		{"LUO not asked for", "dev/liveupdate", map[string]string{"proc/cmdline": "kho=on"}, "boot with liveupdate=on"},
		{"before LUO, handover not made", "dev/liveupdate", map[string]string{
			"proc/version": "Linux version 6.18.15 (a) #1\n", "sys/kernel/debug/kho/out/finalize": "0\n",
		}, "write 1 to /sys/kernel/debug/kho/out/finalize"},
		{"before LUO, unknown whether made", "dev/liveupdate", map[string]string{"proc/version": "Linux version 6.18.15 (a) #1\n"}, "not made yet"},
		{"release with LUO", "dev/liveupdate", map[string]string{"proc/version": "Linux version 6.19.14 (a) #1\n"}, "CONFIG_LIVEUPDATE"},
		{"LUO not built in", "dev/liveupdate", nil, "CONFIG_LIVEUPDATE"},
		{"lists of different length", "none", map[string]string{"sys/kernel/debug/kho/out/scratch_len": "0x1\n"}, "3 scratch addresses and 1 lengths"},
		{"no number", "none", map[string]string{"sys/kernel/debug/kho/out/scratch_len": "many\n"}, "scratch_len"},
		{"area that wraps", "none", map[string]string{
			"sys/kernel/debug/kho/out/scratch_phys": "0xfffffffffffff000\n", "sys/kernel/debug/kho/out/scratch_len": "0x2000\n",
		}, "wrap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := live()
			for name := range root {
				if strings.HasPrefix(name, tt.remove) {
					delete(root, name)
				}
			}
			for name, data := range tt.write {
				root[name] = &fstest.MapFile{Data: []byte(data)}
			}
			h := host{root}
			err := h.checkLUO()
			if err == nil {
				_, err = h.scratch()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestHostAcceptsAReadyOne(t *testing.T) {
	h := host{live()}
	if err := h.checkLUO(); err != nil {
		t.Error(err)
	}
	if loaded, known := h.loaded(); loaded || !known {
		t.Errorf("loaded = %v, %v; want false, true", loaded, known)
	}
}

func TestHostBeforeLUOIsReadyWithItsHandoverMade(t *testing.T) {
	root := live()
	delete(root, "dev/liveupdate")
	root["proc/version"] = &fstest.MapFile{Data: []byte("Linux version 6.18.15-amd64 (a) #1\n")}
	root["sys/kernel/debug/kho/out/finalize"] = &fstest.MapFile{Data: []byte("1\n")}
	if err := (host{root}).checkLUO(); err != nil {
		t.Error(err)
	}
}

// Every error that kexec_file_load is documented or seen to return has advice of its own, but for signatures that are
// bad in one way or another.
func TestEveryErrnoSaysWhatToDo(t *testing.T) {
	tests := []struct {
		errno unix.Errno
		want  string
	}{
		{unix.EPERM, "CAP_SYS_BOOT"},
		{unix.EPERM, "kexec_load_disabled"},
		{unix.EPERM, "kexec_load_limit_reboot"},
		{unix.EPERM, "lockdown"}, // an unsigned stage, with signatures not enforced
		{unix.EACCES, "IMA"},
		{unix.EBUSY, "try again"},
		{unix.ENOSYS, "CONFIG_KEXEC_FILE"},
		{unix.ENOEXEC, "32-bit EFI"},
		{unix.EADDRNOTAVAIL, "kho_scratch="},
		{unix.ENOMEM, "free some"},
		{unix.EINVAL, "half of the memory"},
		{unix.EINVAL, "regular files"},
		{unix.EFBIG, "larger than the kernel reads"},
		{unix.ETXTBSY, "open for writing"},
		{unix.ELIBBAD, "PE"}, // a stage with no PE header, with signatures enforced
		{unix.EKEYREJECTED, "sign the stage"},
		{unix.ENOKEY, "sign the stage"},
		{unix.ENODATA, "sign the stage"},
		{unix.EBADMSG, "sign the stage"},
		{unix.ENOPKG, "sign the stage"},
		{unix.EIO, "reading"},
		{unix.ENXIO, "log"}, // any other
	}
	seen := map[string]string{}
	for _, tt := range tests {
		err := explain(fmt.Errorf("wrapped: %w", tt.errno), "load")
		var p *problem
		if !errors.As(err, &p) || !strings.Contains(p.do, tt.want) || !errors.Is(err, tt.errno) {
			t.Errorf("%v: %v, want advice with %q", tt.errno, err, tt.want)
			continue
		}
		group := tt.errno.Error()
		if tt.want == "sign the stage" {
			group = tt.want
		}
		if other, ok := seen[p.do]; ok && other != group {
			t.Errorf("%v and %v have the same advice %q", group, other, p.do)
		}
		seen[p.do] = group
	}
}

func TestHostReadsHowManyLevelsTheProcessorRunsWith(t *testing.T) {
	tests := []struct {
		name, cpuinfo string
		cpu           boot.Processor
		want          string // in the error
	}{
		{"four", "processor\t: 0\nflags\t\t: fpu lm\naddress sizes\t: 46 bits physical, 48 bits virtual\n\n", boot.Processor{}, ""},
		{"five", "processor\t: 0\nflags\t\t: fpu la57 lm\naddress sizes\t: 52 bits physical, 57 bits virtual\n\n", boot.Processor{FiveLevel: true, HasFiveLevel: true}, ""},
		{"four, of five", "processor\t: 0\nflags\t\t: fpu lm\naddress sizes\t: 52 bits physical, 57 bits virtual\n\nprocessor\t: 1\n", boot.Processor{HasFiveLevel: true}, ""},
		{"nobody says how long addresses are", "flags\t\t: fpu la57\n", boot.Processor{FiveLevel: true, HasFiveLevel: true}, ""},
		{"another flag", "flags\t\t: xla57\nbugs\t\t: la57\n", boot.Processor{}, ""},
		{"no flags", "processor\t: 0\n", boot.Processor{}, "no flags"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := live()
			root["proc/cpuinfo"] = &fstest.MapFile{Data: []byte(tt.cpuinfo)}
			cpu, err := host{root}.processor()
			if cpu != tt.cpu || (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v; want %+v, error with %q", cpu, err, tt.cpu, tt.want)
			}
		})
	}
	if _, err := (host{fstest.MapFS{}}).processor(); err == nil || !strings.Contains(err.Error(), "mount -t proc") {
		t.Errorf("error %v, want one that says how to mount proc", err)
	}
}
