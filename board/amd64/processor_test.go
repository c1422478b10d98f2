//go:build metal

package amd64_test

import (
	"testing"

	"ferry/board/amd64"
)

func TestProcessorCanDoWhatItDoes(t *testing.T) {
	if amd64.FiveLevel() && !amd64.HasFiveLevel() {
		t.Error("it runs with five levels of page tables and has none")
	}
}
