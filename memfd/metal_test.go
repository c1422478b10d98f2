//go:build metal

package memfd_test

import _ "ferry/board/amd64/start" // runs the tests without an operating system
