//go:build !metal && !tamago

package start

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/build/constraint"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../../.."

// programs are those that run with no operating system.
var programs = []string{"ferry/cmd/stage", "ferry/cmd/probe", "ferry/board/amd64/trial", "ferry/linux/saboteur"}

// seam are the folders whose files may differ between the toolchains.
var seam = []string{"board/amd64", "goos"}

func inSeam(folder string) bool {
	return slices.ContainsFunc(seam, func(s string) bool { return folder == s || strings.HasPrefix(folder, s+"/") })
}

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath                  string
	GoFiles, SFiles, EmbedFiles []string
	Imports                     []string
}

// graph returns the packages of this module that the programs consist of.
func graph(t *testing.T, goos string, patterns ...string) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,GoFiles,SFiles,EmbedFiles,Imports", "-tags", "metal"}, patterns...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, errs.Bytes())
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, "ferry/") {
			all[p.ImportPath] = p
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages of this module in %v", len(all), patterns)
	}
	return all
}

// TestToolchainsDifferOnTheBoardOnly compares the files and imports that both
// toolchains build the programs from.
func TestToolchainsDifferOnTheBoardOnly(t *testing.T) {
	stock, tamago := graph(t, "linux", programs...), graph(t, "tamago", programs...)
	for path := range stock {
		folder := strings.TrimPrefix(path, "ferry/")
		if d := cmp.Diff(stock[path], tamago[path]); d != "" && !inSeam(folder) {
			t.Errorf("%s (-stock +TamaGo):\n%s", path, d)
		}
	}
	if _, ok := tamago["ferry/board/amd64/internal/tamago"]; !ok {
		t.Error("nothing joins TamaGo's runtime to the board")
	}
	for path := range tamago {
		if _, ok := stock[path]; !ok && path != "ferry/board/amd64/internal/tamago" {
			t.Errorf("%s is part of the TamaGo build only", path)
		}
	}
	if cmp.Equal(stock["ferry/board/amd64/internal/kernel"], tamago["ferry/board/amd64/internal/kernel"]) {
		t.Error("the board has the same files for both: this test looks at the wrong thing")
	}
}

// TestSystemCallsAreOfStockImages proves that package syscalls is part of the stock
// images and of no other, and that no program has what tests have.
func TestSystemCallsAreOfStockImages(t *testing.T) {
	for _, program := range programs {
		if _, ok := graph(t, "tamago", program)["ferry/board/amd64/internal/syscalls"]; ok {
			t.Errorf("%s has the system calls in it", program)
		}
		if _, ok := graph(t, "linux", program)["ferry/board/amd64/internal/syscalls"]; !ok {
			t.Errorf("%s has no system calls with the stock toolchain", program)
		}
		if _, ok := graph(t, "linux", program)["ferry/board/amd64/boardtest"]; ok {
			t.Errorf("%s imports boardtest", program)
		}
	}
}

// TestOnlyTheSeamNamesTamaGo looks at every build constraint.
func TestOnlyTheSeamNamesTamaGo(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel == "build" || strings.HasPrefix(rel, ".git") {
				return filepath.SkipDir
			}
			return nil
		}
		if e := filepath.Ext(path); e != ".go" && e != ".s" {
			return nil
		}
		named := strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(path, filepath.Ext(path)), "_amd64"), "_tamago")
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan() && !strings.HasPrefix(s.Text(), "package"); {
			named = named || constraint.IsGoBuild(s.Text()) && strings.Contains(s.Text(), "tamago")
		}
		if named {
			seen++
			if !inSeam(filepath.Dir(rel)) {
				t.Errorf("%s depends on the toolchain", rel)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 5 {
		t.Errorf("%d files depend on the toolchain: this test looks at the wrong thing", seen)
	}
}
