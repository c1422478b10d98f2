//go:build metal

package kho_test

import _ "ferry/metal" // what the test runs on where there is no operating system
