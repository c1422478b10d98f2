package main

import (
	"ferry/crossing"
	"ferry/kho"
)

// The facts of a dump, as ferry inspect prints them: with --json in this form, which docs/inspect.md describes. Addresses,
// tokens and flags are text with 0x before it, sizes and counts numbers.
type (
	dumpFacts struct {
		Schema    string          `json:"schema"`
		Form      string          `json:"form"`
		RAM       uint64          `json:"ram_bytes"`
		Stored    uint64          `json:"stored_bytes"`
		Records   []recordFacts   `json:"records"`
		Handovers []handoverFacts `json:"handovers"`
	}
	recordFacts struct {
		At        string `json:"at"`
		Cause     string `json:"cause"`
		Outcome   string `json:"outcome"`
		Step      string `json:"step"`
		Message   string `json:"message,omitempty"`
		Failure   string `json:"failure,omitempty"`
		LastWords string `json:"last_words,omitempty"`

		text string
	}
	handoverFacts struct {
		FDT         string         `json:"fdt"`
		ScratchAt   string         `json:"scratch_table"`
		Live        string         `json:"live"` // yes, no or unknown
		Why         string         `json:"live_because"`
		ZeroPages   []string       `json:"zero_pages"`
		Readable    bool           `json:"readable"`
		Format      string         `json:"format,omitempty"`
		LUO         string         `json:"live_update_format,omitempty"`
		Generations []string       `json:"generations"`
		Release     string         `json:"release,omitempty"`
		Kexecs      uint32         `json:"kexecs,omitempty"`
		Number      *uint64        `json:"live_update_number"`
		Scratch     []scratchFacts `json:"scratch"`
		Pool        []rangeFacts   `json:"pool"`
		Preserved   []orderFacts   `json:"preserved"`
		MapPages    int            `json:"map_pages"`
		Leaked      uint64         `json:"without_owner_bytes"`
		Subtrees    []treeFacts    `json:"subtrees"`
		Sessions    []sessionFacts `json:"sessions"`
		FLBs        []flbFacts     `json:"flbs"`
		Findings    []dumpFinding  `json:"findings"`

		data  kho.Data
		audit *crossing.Audit
	}
	rangeFacts struct {
		Start string `json:"start"`
		End   string `json:"end"` // the first byte behind it
	}
	scratchFacts struct {
		At   string `json:"at"`
		Size uint64 `json:"bytes"`
		Used uint64 `json:"used_bytes"` // pages that are not zero
	}
	orderFacts struct {
		Order  int    `json:"order"`
		Blocks uint64 `json:"blocks"`
		Bytes  uint64 `json:"bytes"`
	}
	treeFacts struct {
		Name string `json:"name"`
		At   string `json:"at"`
		Size uint64 `json:"bytes"` // 0: nothing says it
		What string `json:"what,omitempty"`
	}
	sessionFacts struct {
		Name    string      `json:"name"`
		At      string      `json:"at"`
		Damaged string      `json:"damaged,omitempty"`
		Files   []fileFacts `json:"files"`
	}
	fileFacts struct {
		Token    string   `json:"token"`
		Handler  string   `json:"handler"`
		Data     string   `json:"data"`
		Memfd    bool     `json:"memfd"`
		Size     uint64   `json:"bytes"`
		Position uint64   `json:"position"`
		Seals    []string `json:"seals"`
		Folios   uint64   `json:"folios"`
		Holes    uint64   `json:"hole_bytes"`
		Shared   bool     `json:"shared"`
		State    string   `json:"state"` // sound, damaged or unknown: nobody knows the handler
	}
	flbFacts struct {
		Name  string `json:"name"`
		Data  string `json:"data"`
		Users uint64 `json:"users"`
	}
	dumpFinding struct {
		Kind    string `json:"kind"` // error, warning, odd or leak
		Object  string `json:"object,omitempty"`
		Address string `json:"address,omitempty"`
		Found   string `json:"found"`
		Want    string `json:"want,omitempty"`
		Hint    string `json:"hint,omitempty"`

		text string
	}
)

const factsSchema = "ferry-inspect-1"
