package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
)

type sealCmd struct {
	Payload    string `arg:"" type:"existingfile" help:"Payload that ferry pack wrote."`
	Signature  string `required:"" type:"existingfile" placeholder:"FILE" help:"Signature of its manifest, as minisign -Sm writes it."`
	Pubkey     string `type:"existingfile" placeholder:"FILE" xor:"key" help:"Public key to verify it by."`
	Stage      string `type:"existingfile" placeholder:"FILE" xor:"key" help:"Image that has to take the payload: its key verifies the signature, and what it demands is looked at."`
	Unverified bool   `xor:"key" help:"Put in what looks like a signature though nobody here has the key: an image with a key refuses a wrong one, after the kexec."`
	Output     string `short:"o" type:"path" placeholder:"FILE" help:"Payload to write, - for standard output. Default: the same file."`
}

// Run puts a signature into a payload.
func (c *sealCmd) Run() error { return c.seal(os.Stdout) }

func (c *sealCmd) seal(out io.Writer) error {
	if c.Output == "" {
		c.Output = c.Payload
	}
	// The payload itself may be what is replaced.
	file, err := newOutput("--output", c.Output, input{"--signature", c.Signature}, input{"--pubkey", c.Pubkey}, input{"--stage", c.Stage})
	if err != nil {
		return err
	}
	trust, err := c.trust()
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(c.Signature)
	if err != nil {
		return err
	}
	form, err := minisign.ParseSignature(signature)
	if err != nil {
		return &problem{"signature " + c.Signature, "make it of the manifest: minisign -Sm", err}
	}
	says := fmt.Sprintf("not verified; the signature names key %v: %s", form.Key, form.Comment)
	return inPlace(c.Payload, func(archive []byte) error {
		if trust != nil {
			comment, err := verify(trust, archive, signature)
			if err != nil {
				return &problem{fmt.Sprintf("%s does not sign the manifest of %s", c.Signature, c.Payload),
					"sign the file that ferry pack --manifest wrote with this payload", err}
			}
			says = fmt.Sprintf("signed by key %v: %s", trust.Key, comment)
		}
		file.from = writerTo(func(w io.Writer) (int64, error) { return 0, pack.Sign(w, archive, signature) })
		if err := replaced(out, file); err != nil {
			return fmt.Errorf("payload %s: %w", c.Payload, err)
		}
		fmt.Fprintln(text(out, file), says)
		return nil
	})
}

// trust returns what verifies the signature, nil for nothing.
func (c *sealCmd) trust() (*payload.Trust, error) {
	switch {
	case c.Pubkey != "":
		text, err := os.ReadFile(c.Pubkey)
		if err != nil {
			return nil, err
		}
		key, err := minisign.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Pubkey, err)
		}
		return &payload.Trust{Key: key}, nil
	case c.Stage != "":
		stage, err := os.ReadFile(c.Stage)
		if err != nil {
			return nil, err
		}
		t, err := trustOf(stage)
		if err == nil && t == nil {
			err = &classed{classTrust, errors.New("the image has no key")}
		}
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", c.Stage, err)
		}
		return t, nil
	case c.Unverified:
		return nil, nil
	}
	return nil, in(classUsage, &problem{"without its key a signature cannot be verified",
		"give --pubkey, or --stage with the image that is to take it, or --unverified", nil})
}

// verify proves a payload that will have a signature as an image that demands t does, and returns the trusted comment.
func verify(t *payload.Trust, archive, signature []byte) (comment string, err error) {
	p, err := payload.Open(archive)
	if err != nil {
		return "", err
	}
	p.Signature = payload.File{Data: signature, Offset: 1}
	return t.Verify(p)
}
