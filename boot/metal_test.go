//go:build metal

package boot_test

import _ "ferry/metal" // runs the tests without an operating system
