//go:build metal

package blockset_test

import _ "ferry/board/amd64/start" // runs the tests without an operating system
