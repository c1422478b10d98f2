package amd64_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/board/amd64"
)

func TestArgumentsAreSplit(t *testing.T) {
	for _, tt := range []struct {
		cmdline string
		args    []string
		env     []amd64.Variable
	}{
		{"", nil, nil},
		{"quiet", nil, nil},
		{"quiet -- one two", []string{"one", "two"}, nil},
		{"-- one", []string{"one"}, nil},
		{"quiet --", nil, nil},
		{"a --b -- -- c", []string{"--", "c"}, nil},
		{`-- "two words" a"b c"d ""`, []string{"two words", "ab cd", ""}, nil},
		{"\t--  one\n two ", []string{"one", "two"}, nil},
		{"GOGC=50 ferry.mode=pass GO_X= -- GODEBUG=1", []string{"GODEBUG=1"}, []amd64.Variable{{"GOGC", "50"}, {"GO_X", ""}}},
		{"GOMEMLIMIT=1 GOGC=off", nil, []amd64.Variable{{"GOGC", "off"}}},
		{`A="b c" _B=1 C1=2 =3 D`, nil, []amd64.Variable{{"A", "b c"}}},
		{`a="b -- c" -- d`, []string{"d"}, nil}, // in quotes it is no word
		{`"A=b -- c" d -- e`, []string{"e"}, []amd64.Variable{{"A", "b -- c"}}},
		{`a "--" b`, []string{"b"}, nil}, // as Linux reads it
		{"A=1\r--\vb\xa0c", []string{"b", "c"}, []amd64.Variable{{"A", "1"}}},
	} {
		args, env := amd64.Arguments(tt.cmdline)
		if d := cmp.Diff(tt.args, args); d != "" {
			t.Errorf("%q: arguments (-want +got):\n%s", tt.cmdline, d)
		}
		if d := cmp.Diff(tt.env, env); d != "" {
			t.Errorf("%q: environment (-want +got):\n%s", tt.cmdline, d)
		}
	}
}
