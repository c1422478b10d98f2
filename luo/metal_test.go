//go:build metal

package luo_test

import _ "ferry/metal" // runs the tests without an operating system
