package luo

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/phys"
)

func TestFilesAreRewrittenOneByOne(t *testing.T) {
	for _, x := range Formats() {
		for _, y := range Formats() {
			mem, d := machine(t)
			serializeAs(t, x, state(t, 0, 0, 3, 129, 1), d)
			in := restore(t, mem, d)
			want := modelOf(in)
			for i := range want.Sessions {
				for j := range want.Sessions[i].Files {
					f := &want.Sessions[i].Files[j]
					f.Name, f.A = "memfd-v1", f.A+uint64(i)<<40
				}
			}
			want.Handlers = []Handler{{"memfd-v1", 133}}
			err := serializeTo(in, d, Options{Format: y, BeyondLimits: true, Rewrite: func(s Session, f File) (string, uint64, error) {
				return "memfd-v1", f.Data + uint64(s.Index)<<40, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			out := restore(t, mem, d)
			if diff := cmp.Diff(want, modelOf(out)); diff != "" {
				t.Errorf("%v to %v (-want +got):\n%s", x, y, diff)
			}
			// The records differ; what they stand for is for the caller to say.
			if err := out.Diff(in, nil); !errors.Is(err, ErrDiffer) {
				t.Errorf("%v to %v: got %v of other records", x, y, err)
			}
			pairs := 0
			err = out.Diff(in, func(got, want File) error {
				pairs++
				if string(got.Handler) != "memfd-v1" || string(want.Handler) != "memfd-v2" {
					return errors.New("the wrong way round")
				}
				return nil
			})
			if err != nil || pairs != 133 {
				t.Errorf("%v to %v: %d pairs of files, %v", x, y, pairs, err)
			}
		}
	}
}

// TestShorterHandlersLeaveNothingBehind rewrites each file to a shorter name than
// the one before.
func TestShorterHandlersLeaveNothingBehind(t *testing.T) {
	mem, d := machine(t)
	serialize(t, state(t, 0, 47), d)
	n := MaxHandlerName + 1
	err := serializeTo(restore(t, mem, d), d, Options{Rewrite: func(Session, File) (string, uint64, error) {
		n--
		return strings.Repeat("h", n), 1, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all(restore(t, mem, d).Sessions()) {
		for i, f := range all(s.Files()) {
			if len(f.Handler) != MaxHandlerName-i || f.Data != 1 {
				t.Errorf("file %d: handler %q, data %#x", i, f.Handler, f.Data)
			}
		}
	}
}

func TestWhatRewritingRefusesNamesTheFile(t *testing.T) {
	mem, d := machine(t)
	serialize(t, state(t, 0, 0, 70), d)
	in := restore(t, mem, d)
	lost := errors.New("lost")
	for _, tt := range []struct {
		name    string
		rewrite func(File) (string, error)
		want    error
		text    string
	}{
		{"an error", func(f File) (string, error) {
			if f.Token == 7*69 {
				return "", lost
			}
			return "h", nil
		}, lost, "luo: serializing as luo-v1: session 1 \"vm-1\": file token 0x1e3: lost"},
		{"an empty handler", func(File) (string, error) { return "", nil }, ErrName, "file token 0x0: handler"},
		{"a handler of 48 bytes", func(File) (string, error) { return strings.Repeat("h", 48), nil }, ErrName, "48 bytes, want 1..47"},
		{"a handler with a NUL", func(File) (string, error) { return "a\x00b", nil }, ErrName, "NUL inside"},
	} {
		err := serializeTo(in, d, Options{Format: V1, Rewrite: func(_ Session, f File) (string, uint64, error) {
			s, err := tt.rewrite(f)
			return s, 1, err
		}})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
}

func TestComparingNamesTheFileThatIsNotTheSame(t *testing.T) {
	a, b := state(t, 0, 1, 70), state(t, 0, 1, 70)
	err := a.Diff(b, func(got, want File) error {
		if got.Token == 7*69 {
			return fmt.Errorf("size: %w", ErrDiffer)
		}
		return nil
	})
	if want := `luo: session 1 "vm-1": file 69 token 0x1e3: size: states differ`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, f := range all(all(b.Sessions())[0].Files()) {
		rec, err := b.mem.View(f.Addr, fileSize)
		if err != nil {
			t.Fatal(err)
		}
		put(rec, fileToken, 99)
	}
	if err := a.Diff(b, func(File, File) error { return nil }); !errors.Is(err, ErrDiffer) {
		t.Errorf("tokens differ: %v", err)
	}
}

func TestAStateFromNothingNeedsAFormat(t *testing.T) {
	_, d := machine(t)
	if err := serializeTo(New(1), d, Options{}); err == nil || d.Len() != 0 {
		t.Errorf("%v, %d blocks", err, d.Len())
	}
	if err := serializeTo(&State{absent: true}, nil, Options{}); err != nil {
		t.Errorf("no state at all: %v", err)
	}
}

// short is a draft without memory after some pages.
type short struct {
	*draft
	left int
}

var errShort = errors.New("no memory")

func (d *short) Alloc() (phys.Addr, []byte, error) {
	if d.left--; d.left < 0 {
		return 0, nil, errShort
	}
	return d.draft.Alloc()
}

func (d *short) AllocBlock(o phys.Order) (phys.Addr, []byte, error) {
	if d.left--; d.left < 0 {
		return 0, nil, errShort
	}
	return d.draft.AllocBlock(o)
}

// TestMemoryThatRunsOutIsAnError lets every allocation of a crossing fail in turn.
func TestMemoryThatRunsOutIsAnError(t *testing.T) {
	each(t, func(t *testing.T, f *Format) {
		files := []int{3, 0, 64}
		for left := range 20 {
			_, d := machine(t)
			err := serializeTo(state(t, 0, files...), &short{d, left}, Options{Format: f})
			switch enough := left >= pages(f, files); {
			case enough && err == nil:
				return
			case enough || !errors.Is(err, errShort):
				t.Fatalf("%d pages of %d: %v", left, pages(f, files), err)
			case d.name != "":
				t.Fatalf("%d pages: a sub-tree was set for what was not written", left)
			}
		}
	})
}
