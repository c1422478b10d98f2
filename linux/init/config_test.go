//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/linux"
	"ferry/linux/workload"
)

func TestWordsOfARunAreReadAsItMeantThem(t *testing.T) {
	tests := []struct {
		name string
		run  linux.Run
		want workload.Plan
	}{
		{"mixed, all hold seals", linux.Run{Route: linux.NewRoute("7.1.13", "7.3.4"), Plan: workload.Plan{Mixed: true}, Region: true}, workload.Plan{Mixed: true}},
		{"mixed, one forgets them", linux.Run{Route: linux.NewRoute("7.1.13", "7.0.13"), Plan: workload.Plan{Mixed: true}}, workload.Plan{Mixed: true, Plain: true}},
		{"numbers", linux.Run{Route: linux.Route{Releases: []string{"7.3.4"}, Rounds: 10, Direct: true}, Plan: workload.Plan{Sessions: 4, Files: 3, Big: 2, Wide: 1}},
			workload.Plan{Sessions: 4, Files: 3, Big: 2, Wide: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parseConfig(linux.Cmdline + " " + tt.run.Words())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.run.Route, c.route); diff != "" {
				t.Errorf("route (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, c.plan); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if (c.region == "ferry") != tt.run.Region {
				t.Errorf("region %q, want one: %v", c.region, tt.run.Region)
			}
			next, err := parseConfig(c.next())
			if err != nil || next.round != 1 || strings.Count(c.next(), "crossing.round=") != 1 {
				t.Errorf("next kernel's words %q (%v)", c.next(), err)
			}
		})
	}
}

func TestUnknownWordsAreRefused(t *testing.T) {
	for _, words := range []string{"", "crossing.kernels=", "crossing.kernels=7.3.4 crossing.sessions=many", "crossing.kernels=7.3.4 crossing.sessions=-1",
		"crossing.kernels=7.3.4 crossing.plan=other", "crossing.kernels=7.3.4 crossing.seals=no", "crossing.kernels=7.3.4 crossing.what=1"} {
		if _, err := parseConfig(words); err == nil {
			t.Errorf("%q was taken", words)
		}
	}
}
