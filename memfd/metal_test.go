//go:build metal

package memfd_test

import _ "ferry/metal" // runs the tests without an operating system
