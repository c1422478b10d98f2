package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
)

type sealCmd struct {
	Payload   string `arg:"" type:"existingfile" help:"Payload that ferry pack wrote."`
	Signature string `required:"" type:"existingfile" help:"Signature of its manifest, as minisign -Sm writes it."`
	Pubkey    string `type:"existingfile" help:"Public key to verify it by. Default: it is put in unread; an image with a key refuses a wrong one."`
	Output    string `short:"o" type:"path" help:"Payload to write, - for standard output. Default: the same file."`
}

// Run puts a signature into a payload.
func (c *sealCmd) Run() error { return c.seal(os.Stdout) }

func (c *sealCmd) seal(out io.Writer) error {
	archive, err := os.ReadFile(c.Payload)
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(c.Signature)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	if err := pack.Sign(&sealed, archive, signature); err != nil {
		return fmt.Errorf("payload %s: %w", c.Payload, err)
	}
	said := ""
	if c.Pubkey != "" {
		text, err := os.ReadFile(c.Pubkey)
		if err != nil {
			return err
		}
		key, err := minisign.ParseKey(text)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Pubkey, err)
		}
		comment, err := verify(&payload.Trust{Key: key}, sealed.Bytes())
		if err != nil {
			return &problem{fmt.Sprintf("%s does not sign the manifest of %s", c.Signature, c.Payload),
				"sign the file that ferry pack --manifest wrote with this payload", err}
		}
		said = fmt.Sprintf("signed by key %v: %s\n", key, comment)
	}
	if c.Output == "" {
		c.Output = c.Payload
	}
	// The payload itself may be what is replaced.
	file, err := newOutput("--output", c.Output, input{"--signature", c.Signature}, input{"--pubkey", c.Pubkey})
	if err != nil {
		return err
	}
	file.data = sealed.Bytes()
	if err := replaced(out, file); err != nil {
		return err
	}
	fmt.Fprint(text(out, file), said)
	return nil
}

// verify proves a payload as an image that demands t does, and returns the trusted comment.
func verify(t *payload.Trust, archive []byte) (comment string, err error) {
	p, err := payload.Open(archive)
	if err != nil {
		return "", err
	}
	return t.Verify(p)
}
