package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"ferry/boot/minisign"
	"ferry/boot/payload"
)

type showCmd struct {
	Payload string `arg:"" type:"existingfile" help:"Payload that ferry pack wrote."`
	Stage   string `type:"existingfile" placeholder:"FILE" xor:"key" help:"Image that is to take the payload: its key verifies the signature."`
	Pubkey  string `type:"existingfile" placeholder:"FILE" xor:"key" help:"Public key of minisign that verifies the signature."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// facts is what a payload holds, as ferry show prints it.
type facts struct {
	Payload  string       `json:"payload"` // name of the file
	Size     uint64       `json:"size"`    // bytes
	Version  int          `json:"version"` // of the manifest
	Serial   uint64       `json:"serial"`
	From     string       `json:"from,omitempty"` // release or generation of the kernel that hands over; empty: any
	Kernel   kernelFacts  `json:"kernel"`
	Rollback *kernelFacts `json:"rollback,omitempty"`
	OnError  string       `json:"on_error,omitempty"` // empty: the stage's command line decides
	Sessions uint64       `json:"expect_sessions"`    // 0: any number
	Parts    []partFacts  `json:"parts"`
	Signer   signerFacts  `json:"signer"`
}

// kernelFacts is a kernel of a payload.
type kernelFacts struct {
	Release    string  `json:"release,omitempty"`
	Generation string  `json:"generation,omitempty"`
	Cmdline    *string `json:"cmdline"` // null: that of the stage, less the words that begin with ferry.
}

// partFacts is a file of a payload.
type partFacts struct {
	Name   string `json:"name"`
	Size   uint64 `json:"size"` // bytes
	SHA256 string `json:"sha256"`
	Whole  *bool  `json:"whole"` // it is what the manifest says; null: the manifest does not list it
}

// signerFacts says who signed a payload.
type signerFacts struct {
	Key      string `json:"key,omitempty"` // the signature's own word as long as it is not verified; empty: there is none
	Comment  string `json:"comment,omitempty"`
	Verified bool   `json:"verified"`
	Refused  string `json:"refused,omitempty"` // why it is not
}

// Run prints what is in a payload.
func (c *showCmd) Run() error { return c.show(os.Stdout) }

// show prints what there is, whether it is whole and signed or not; what is not is an error after that.
func (c *showCmd) show(out io.Writer) error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	return inPlace(c.Payload, func(archive []byte) error {
		p, err := payload.Open(archive)
		if err != nil {
			return fmt.Errorf("payload %s: %w", c.Payload, err)
		}
		s := describePayload(p)
		s.Payload, s.Size = c.Payload, uint64(len(archive))
		var whole error
		s.Parts, whole = partsOf(p)
		if len(p.Manifest.Parts) == 0 {
			whole = nil // packed by hand
		}
		s.Signer = signerOf(p, trust)
		if c.JSON {
			err = printJSON(out, s)
		} else {
			s.print(linePrinter(out))
		}
		switch {
		case err != nil:
			return err
		case whole != nil:
			return &problem{fmt.Sprintf("payload %s is damaged", c.Payload), "pack it again, or copy it again", whole}
		case trust != nil && !s.Signer.Verified:
			return &classed{classTrust, fmt.Errorf("payload %s is not signed as asked: %s", c.Payload, s.Signer.Refused)}
		}
		return nil
	})
}

// trust returns what verifies the signature, nil for nothing.
func (c *showCmd) trust() (*payload.Trust, error) {
	if c.Pubkey == "" && c.Stage == "" {
		return nil, nil
	}
	return (&sealCmd{Pubkey: c.Pubkey, Stage: c.Stage}).trust()
}

// describePayload says what a payload is for.
func describePayload(p *payload.Payload) facts {
	m := p.Manifest
	s := facts{Version: m.Version, Serial: m.Serial, From: m.From, OnError: m.OnError, Sessions: m.ExpectSessions,
		Kernel: kernelFacts{m.Kernel.Release, m.Kernel.Generation, m.Cmdline}}
	if m.Rollback != nil {
		s.Rollback = &kernelFacts{m.Rollback.Kernel.Release, m.Rollback.Kernel.Generation, m.Rollback.Cmdline}
	}
	return s
}

// partsOf reads every part of a payload, and says how far it is. The error is that of payload.Check: a part that is not what the
// manifest says, is not listed, or is missing.
func partsOf(p *payload.Payload) (all []partFacts, err error) {
	parts := []struct {
		name string
		file payload.File
	}{
		{payload.KernelName, p.Kernel}, {payload.OpenedName, p.Opened}, {payload.InitrdName, p.Initrd},
		{payload.RollbackKernelName, p.RollbackKernel}, {payload.RollbackInitrdName, p.RollbackInitrd},
	}
	total := 0
	for _, part := range parts {
		total += len(part.file.Data)
	}
	far := newProgress("reading the payload", int64(total))
	defer far.end()
	all = []partFacts{}
	known := map[string]bool{}
	for _, part := range parts {
		known[part.name] = true
		listed, ok := p.Manifest.Parts[part.name]
		if part.file.Offset == 0 && !ok {
			continue
		}
		facts := partFacts{Name: part.name, Size: uint64(len(part.file.Data)), SHA256: digest(part.file.Data, far)}
		whole := ok && part.file.Offset != 0 && listed == payload.Part{Size: facts.Size, SHA256: facts.SHA256}
		if ok {
			facts.Whole = &whole
		}
		if !whole && err == nil {
			err = p.CheckPart(part.name)
		}
		all = append(all, facts)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Manifest.Parts)) {
		if !known[name] && err == nil {
			err = fmt.Errorf("%w: %q: no stage knows such a file", payload.ErrPart, name)
		}
	}
	return all, err
}

// digest returns the SHA-256 of some bytes.
func digest(data []byte, far *progress) string {
	sum := sha256.New()
	for len(data) > 0 {
		n := min(piece, len(data))
		sum.Write(data[:n])
		far.pass(n)
		data = data[n:]
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// signerOf says who signed a payload; trust verifies that, nil: nobody does.
func signerOf(p *payload.Payload, trust *payload.Trust) (s signerFacts) {
	if p.Signature.Offset == 0 {
		s.Refused = "it has no signature"
		return s
	}
	form, err := minisign.ParseSignature(p.Signature.Data)
	if err != nil {
		s.Refused = err.Error()
		return s
	}
	s.Key, s.Comment, s.Refused = form.Key.String(), form.Comment, "no --pubkey or --stage to verify it by"
	if trust == nil {
		return s
	}
	comment, err := trust.VerifyManifest(p)
	if err != nil {
		s.Refused = err.Error()
		return s
	}
	s.Comment, s.Verified, s.Refused = comment, true, ""
	return s
}

func (s facts) print(say func(name, text string)) {
	say("payload", fmt.Sprintf("%s, %s, manifest of version %d", s.Payload, size(s.Size), s.Version))
	say("serial", fmt.Sprint(s.Serial))
	from := "any kernel"
	if s.From != "" {
		from = handsOver(s.From)
	}
	say("from", from)
	say("to", s.Kernel.String())
	say("with the command line", s.Kernel.line())
	if s.Rollback != nil {
		say("back to", s.Rollback.String())
		say("with the command line", s.Rollback.line())
	}
	onError := s.OnError
	if onError == "" {
		onError = "what the stage's command line says, or else what it can"
	}
	say("after a failure", onError)
	if s.Sessions > 0 {
		say("expected sessions", fmt.Sprintf("at least %d, fewer are a failure", s.Sessions))
	}
	for _, p := range s.Parts {
		is := "not listed in the manifest"
		if p.Whole != nil {
			is = map[bool]string{true: "whole", false: "DAMAGED"}[*p.Whole]
		}
		say(p.Name, fmt.Sprintf("%s, %s, SHA-256 %s", size(p.Size), is, p.SHA256))
	}
	say("signer", s.Signer.String())
}

// String names a kernel and what it reads.
func (k *kernelFacts) String() string {
	return described(payload.KernelInfo{Release: k.Release, Generation: k.Generation})
}

func (k *kernelFacts) line() string {
	if k.Cmdline == nil {
		return "that of the stage, less the words that begin with ferry."
	}
	return fmt.Sprintf("%q, in the payload", *k.Cmdline)
}

func (s signerFacts) String() string {
	switch {
	case s.Key == "":
		return "none: " + s.Refused
	case s.Verified:
		return fmt.Sprintf("key %s, verified: %s", s.Key, s.Comment)
	}
	return fmt.Sprintf("key %s by its own account, not verified: %s", s.Key, s.Refused)
}
