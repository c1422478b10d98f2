//go:build metal

package phys_test

import _ "ferry/metal" // what the test runs on where there is no operating system
