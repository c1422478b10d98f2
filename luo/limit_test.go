//go:build !metal

package luo

import (
	"errors"
	"testing"
)

func TestOneMoreThanTheKernelAllowsIsRefused(t *testing.T) {
	if err := Serialize(sessions(t, 510001, 0, true), nil, Options{Format: V5}); !errors.Is(err, ErrLimit) {
		t.Errorf("510,001 sessions: %v, want ErrLimit", err)
	}
	if err := Serialize(sessions(t, 1, 630001, true), nil, Options{Format: V5}); !errors.Is(err, ErrLimit) {
		t.Errorf("630,001 files in a session: %v, want ErrLimit", err)
	}
}
