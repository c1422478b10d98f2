// Command sources answers two questions about the Go files of this module, for
// the Makefile:
//
//	sources covered <tags>...   fails if some file is built with none of the tag sets
//	sources concurrent          prints the packages that start goroutines
//
// A tag set is one argument with the tags separated by blanks. What vet and
// staticcheck look at is what they are built with, so a file that no set covers
// would be looked at by nobody. The race detector slows a test down tenfold and
// finds something only where goroutines run, tests' parallel ones included.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("sources: ")
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 1 && args[0] == "covered":
		return covered(args[1:])
	case len(args) == 1 && args[0] == "concurrent":
		return concurrent()
	}
	return errors.New(`want "covered <tags>..." or "concurrent"`)
}

// covered lists how many files each tag set has, and fails if one that is on disk
// is in none of them.
func covered(sets []string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	missing, err := goFiles(root)
	if err != nil {
		return err
	}
	all := len(missing)
	for _, tags := range sets {
		files, err := built(tags)
		if err != nil {
			return err
		}
		fmt.Printf("%4d of %d files with tags %q\n", len(files), all, tags)
		for f := range files {
			delete(missing, f)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("no tag set covers %s: add its tag to a set in mk/test.mk", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
}

// goFiles returns the Go files below the folder, without those that the go command
// passes over: testdata, and names that begin with a dot or an underscore.
func goFiles(root string) (map[string]bool, error) {
	files := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case path == root:
		case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_"), d.IsDir() && (name == "testdata" || path == filepath.Join(root, "build")):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case !d.IsDir() && filepath.Ext(name) == ".go":
			files[path] = true
		}
		return nil
	})
	return files, err
}

// built returns the files of all packages and of their tests with these tags.
func built(tags string) (map[string]bool, error) {
	const format = `{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .CgoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}` +
		`{{range .TestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`
	lines, err := list("-tags", tags, "-f", format, "./...")
	files := make(map[string]bool, len(lines))
	for _, f := range lines {
		files[f] = true
	}
	return files, err
}

// concurrent prints the packages of which some file, a test's or not, starts a
// goroutine.
func concurrent() error {
	lines, err := list("-f", `{{$p := .ImportPath}}{{$d := .Dir}}{{range .GoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}`+
		`{{range .TestGoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}`, "./...")
	if err != nil {
		return err
	}
	var packages []string
	for _, line := range lines {
		pkg, file, _ := strings.Cut(line, " ")
		if slices.Contains(packages, pkg) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if startsGoroutine(f) {
			packages = append(packages, pkg)
		}
	}
	if len(packages) == 0 {
		return errors.New("no package starts a goroutine, although this module's machines do")
	}
	fmt.Println(strings.Join(packages, "\n"))
	return nil
}

// startsGoroutine looks for go statements and for the calls of the standard library
// that stand for one: sync.WaitGroup.Go, time.AfterFunc and testing.T.Parallel.
func startsGoroutine(f *ast.File) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Go", "AfterFunc", "Parallel"}, s.Sel.Name) {
				found = true
			}
		}
		return !found
	})
	return found
}

func list(args ...string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(cmd.Args[1:], " "), err)
	}
	lines := strings.Split(string(out), "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" }), nil
}
