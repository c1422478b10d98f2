package linux

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// A Tree is the content of an initrd: regular files by their absolute path. Folders are implied.
type Tree map[string]File

// A File is one regular file of a Tree.
type File struct {
	Data []byte
	Mode fs.FileMode // permission bits only
}

// folders that every initrd has: mount points that upstream's init and ours expect. /dev/console is not here because
// the kernel's built-in archive has it.
var folders = []string{"/dev", "/proc", "/sys", "/debugfs", "/run", "/tmp"}

// AddFile puts the host's file under the given path, with its permission bits.
func (t Tree) AddFile(name, host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(host)
	if err != nil {
		return err
	}
	t[name] = File{Data: data, Mode: info.Mode().Perm()}
	return nil
}

// Write writes the tree as an uncompressed newc archive. Equal trees give equal bytes: entries are sorted, times and
// owners are zero.
func (t Tree) Write(w io.Writer) error {
	dirs := slices.Clone(folders)
	for name := range t {
		if !path.IsAbs(name) || path.Clean(name) != name || name == "/" {
			return fmt.Errorf("initrd: %q is not a clean absolute path", name)
		}
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)

	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)

	archive := cpio.NewWriter(w)
	inode := int64(0)
	for _, dir := range dirs {
		inode++
		header := &cpio.Header{Name: strings.TrimPrefix(dir, "/"), Mode: cpio.TypeDir | 0o755, Links: 2, Inode: inode}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
	}
	for _, name := range names {
		inode++
		f := t[name]
		header := &cpio.Header{
			Name:  strings.TrimPrefix(name, "/"),
			Mode:  cpio.TypeReg | cpio.FileMode(f.Mode.Perm()),
			Size:  int64(len(f.Data)),
			Links: 1,
			Inode: inode,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.Data); err != nil {
			return err
		}
	}
	return archive.Close()
}

// Bytes returns the archive that Write writes.
func (t Tree) Bytes() ([]byte, error) {
	var b bytes.Buffer
	if err := t.Write(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
