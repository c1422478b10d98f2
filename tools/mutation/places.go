package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// looks are the words of a line that may make an error.
var looks = regexp.MustCompile(`Error\{|Errorf\(|errors\.New\(|\bErr[A-Z]`)

// declared are lines that name an error, or ask which one it is.
var declared = regexp.MustCompile(`^\s*(var )?[Ee]rr[A-Z]\w*\s*= errors\.New|^\s*(//|case )|errors\.Is\(|[!=]= Err[A-Z]`)

// places prints every place where an error is made with what leads there, and then
// every line that looks like one and belongs to none.
func places(packages []string, made []Place) error {
	for _, p := range made {
		fmt.Printf("%s:%d %s: %s\n", p.File, p.From, p.Func, p.Why)
	}
	for _, dir := range packages {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return err
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for i, line := range strings.Split(string(text), "\n") {
				code, _, _ := strings.Cut(line, " //")
				known := slices.ContainsFunc(made, func(p Place) bool { return p.File == name && p.From <= i+1 && i+1 <= p.To })
				if looks.MatchString(code) && !declared.MatchString(line) && !known {
					fmt.Printf("not accounted for: %s:%d: %s\n", name, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
	return nil
}
