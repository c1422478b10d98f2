package linux

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"ferry/fdt"
)

// LeftLine begins what linux/init reports of the sub-trees that crossings left, as
// Linux shows them in kho/in of its debugfs:
//
//	crossing: left round=<n> trees=<n> tree=<base64 of kho/in/sub_fdts/ferry>
//
// trees counts the nodes of that name, or of one that begins with it, in kho/in/fdt.
const LeftLine = "left round="

// What the next kernel finds as kho/in/sub_fdts/ferry: package crossing says what is
// in it, and writes it.
const (
	LeftName       = "ferry"
	leftCompatible = "ferry-report-v1"
)

// left returns what is wrong with what the crossing before kernel i left in it: there
// has to be one sub-tree, that of the last crossing, however many there were.
func (r Run) left(i int, kernels []Log) error {
	kernel := kernels[i]
	if i == 0 || r.Direct {
		if line, ok := kernel.Find(ReportPrefix + LeftLine); ok {
			return fmt.Errorf("no crossing before it: %q", line)
		}
		return nil
	}
	text := ReportPrefix + LeftLine + strconv.Itoa(i) + " "
	if trees := kernel.field(text, "trees"); trees != "1" {
		return fmt.Errorf("%s sub-trees of Ferry's in its debugfs, want 1", trees)
	}
	b, err := base64.StdEncoding.DecodeString(kernel.field(text, "tree"))
	if err != nil {
		return err
	}
	tree, err := fdt.Parse(0, b)
	if err != nil {
		return err
	}
	from := ""
	if hasMetadata(r.Release(i - 1)) {
		from = kernels[i-1].Release()
	}
	root := tree.Root()
	for _, p := range []struct{ name, want string }{{"compatible", leftCompatible}, {"from", from}, {"to", kernel.Release()}} {
		if got, _ := root.Property(p.name); string(got.Value) != p.want+"\x00" {
			return fmt.Errorf("kho/in/sub_fdts/%s: %s is %q, want %q and a zero", LeftName, p.name, got.Value, p.want)
		}
	}
	sessions, files, _ := r.Plan.Totals()
	in, out := printedBlocks(kernels[i-1])
	for _, n := range []struct {
		node, name string
		want       int64
	}{
		{"in", "sessions", sessions}, {"in", "files", files}, {"in", "blocks", in},
		{"out", "sessions", sessions}, {"out", "files", files}, {"out", "blocks", out},
	} {
		node, ok := root.Child(n.node)
		if !ok {
			return fmt.Errorf("kho/in/sub_fdts/%s has no node %q", LeftName, n.node)
		}
		if got, err := node.Uint64(n.name); err != nil || got != uint64(n.want) {
			return errors.Join(err, fmt.Errorf("kho/in/sub_fdts/%s: %d %s in %s, want %d", LeftName, got, n.name, n.node, n.want))
		}
	}
	return nil
}

// printedBlocks returns how many blocks of sessions and files the stage counted before
// and after, as it says on the console, -1 where it does not.
func printedBlocks(log Log) (in, out int64) {
	for _, kind := range []string{"session", "file"} {
		var a, b int64
		if n, err := fmt.Sscan(log.after("ferry: "+kind+" blocks"), &a, &b); n != 2 || err != nil {
			return -1, -1
		}
		in, out = in+a, out+b
	}
	return in, out
}
