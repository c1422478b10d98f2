package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every verdict, cause and refusal that the runbook quotes is one that the programs print.
func TestTheRunbookQuotesWhatIsPrinted(t *testing.T) {
	t.Chdir("../..")
	page, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	printed := printedTexts(t)
	quoted := 0
	for _, row := range runbookRow.FindAllStringSubmatch(string(page), -1) {
		for _, quote := range runbookQuote.FindAllStringSubmatch(row[1], -1) {
			for _, piece := range variable.Split(quote[1], -1) {
				piece = strings.Trim(strings.TrimPrefix(piece, "ferry: "), " ;:,\"")
				if len(piece) < 6 {
					continue
				}
				if quoted++; !strings.Contains(printed, piece) {
					t.Errorf("docs/operations.md quotes %q of %q, which no program prints", piece, quote[1])
				}
			}
		}
	}
	if quoted < 60 {
		t.Errorf("docs/operations.md quotes %d texts, want at least 60", quoted)
	}
}

var (
	runbookRow   = regexp.MustCompile(`(?m)^\| ([^|]*) \|`)
	runbookQuote = regexp.MustCompile("`([^`]*)`")
	// variable is what differs from run to run: releases, numbers, names and what is left out.
	// Words are put together at colons, commas and equals signs.
	variable = regexp.MustCompile(`\.\.\.|<[a-z]+>|0x|\d[\d.]*|\b[ABMNX]\b|[:;,] | at |[="]| COLD\b|starting | s after `)
)

// printedTexts returns the sources of what prints for an operator.
func printedTexts(t *testing.T) string {
	var all strings.Builder
	for _, folder := range []string{"cmd/ferry", "cmd/stage", "crossing", "board/amd64", "boot", "kho"} {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			all.Write(source)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
