//go:build metal

package blockset_test

import _ "ferry/metal" // runs the tests without an operating system
