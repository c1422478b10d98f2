//go:build linux

package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"ferry/fdt"
	"ferry/linux"
)

// showLeft reports what a crossing left in the handover that this kernel got, as the
// kernel shows it to whoever looks, and in how many nodes. It reports nothing where
// there is none.
func (c config) showLeft() error {
	const in = "/sys/kernel/debug/kho/in/"
	b, err := os.ReadFile(in + "fdt")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no handover came in
	}
	if err != nil {
		return err
	}
	root, err := fdt.Parse(0, b)
	if err != nil {
		return fmt.Errorf("%sfdt: %w", in, err)
	}
	n := 0
	for child := range root.Root().Children() {
		if strings.HasPrefix(string(child.Name()), linux.LeftName) {
			n++
		}
	}
	tree, err := os.ReadFile(in + "sub_fdts/" + linux.LeftName)
	if errors.Is(err, fs.ErrNotExist) && n == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	report(linux.LeftLine+"%d trees=%d tree=%s", c.round, n, base64.StdEncoding.EncodeToString(tree))
	return nil
}
