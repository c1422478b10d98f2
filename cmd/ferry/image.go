package main

import (
	"fmt"
	"io"
	"os"

	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/linker"
)

type imageCmd struct {
	Stage      string  `required:"" type:"existingfile" placeholder:"FILE" help:"The stage, ferry.bzimage."`
	Pubkey     string  `type:"existingfile" placeholder:"FILE" help:"Public key of minisign: the image will start nothing but payloads that its owner signed. Without it: print what the image demands."`
	MinSerial  *uint64 `placeholder:"N" help:"Lowest serial number of a payload. Default: what the image demands already."`
	MinRelease *string `placeholder:"RELEASE" help:"Lowest release of the next kernel, such as 7.2.6, or an empty one for any. Default: what the image demands already."`
	Output     string  `short:"o" type:"path" placeholder:"FILE" help:"Image to write, - for standard output; it may be the stage itself."`
}

// Run writes an image with a key, or prints what an image demands.
func (c *imageCmd) Run() error { return c.image(os.Stdout) }

func (c *imageCmd) image(out io.Writer) error {
	stage, err := os.ReadFile(c.Stage)
	if err != nil {
		return err
	}
	area, err := linker.Trust(stage)
	if err != nil {
		return in(classPayload, fmt.Errorf("stage %s: %w", c.Stage, err))
	}
	if c.Pubkey == "" {
		if c.Output != "" || c.MinSerial != nil || c.MinRelease != nil {
			return in(classUsage, &problem{"without a key an image demands nothing, and anybody can write any serial number", "give --pubkey", nil})
		}
		t, err := payload.ParseTrust(area)
		if err != nil {
			return fmt.Errorf("stage %s: %w", c.Stage, err)
		}
		fmt.Fprintln(out, demands(t))
		return nil
	}
	if c.Output == "" {
		return usage("--pubkey takes an --output")
	}
	pubkey, err := os.ReadFile(c.Pubkey)
	if err != nil {
		return err
	}
	t, err := c.kept(area)
	if err != nil {
		return fmt.Errorf("stage %s: %w", c.Stage, err)
	}
	if t.Key, err = minisign.ParseKey(pubkey); err != nil {
		return fmt.Errorf("%s: %w", c.Pubkey, err)
	}
	filled, err := t.Area()
	if err != nil {
		return err
	}
	copy(area, filled[:])
	// The stage itself may be what is replaced.
	file, err := newOutput("--output", c.Output, input{"--pubkey", c.Pubkey})
	if err != nil {
		return err
	}
	file.data = stage
	if err := replaced(out, file); err != nil {
		return err
	}
	fmt.Fprintln(text(out, file), demands(t))
	return nil
}

// kept returns what the image will demand beside a signature: what it demands already, unless the operator says otherwise.
// Another key must not bring an old payload back.
func (c *imageCmd) kept(area []byte) (*payload.Trust, error) {
	t := &payload.Trust{}
	if c.MinSerial == nil || c.MinRelease == nil {
		before, err := payload.ParseTrust(area)
		if err != nil {
			return nil, &problem{"what it demands already is not known", "say both --min-serial and --min-release", err}
		}
		if before != nil {
			t.MinSerial, t.MinRelease = before.MinSerial, before.MinRelease
		}
	}
	if c.MinSerial != nil {
		t.MinSerial = *c.MinSerial
	}
	if c.MinRelease != nil {
		t.MinRelease = *c.MinRelease
	}
	return t, nil
}

// demands says what an image demands of its payload.
func demands(t *payload.Trust) string {
	if t == nil {
		return "the image has no key: it starts whatever payload it is given"
	}
	s := fmt.Sprintf("the image starts only payloads that key %v signed", t.Key)
	if t.MinSerial > 0 {
		s += fmt.Sprintf(", with a serial number of at least %d", t.MinSerial)
	}
	if t.MinRelease != "" {
		s += fmt.Sprintf(", for Linux %s or later", t.MinRelease)
	}
	return s
}

// trustOf returns what a stage demands, nil for nothing.
func trustOf(stage []byte) (*payload.Trust, error) {
	area, err := linker.Trust(stage)
	if err != nil {
		return nil, in(classPayload, err)
	}
	return payload.ParseTrust(area)
}
