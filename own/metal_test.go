//go:build metal

package own_test

import _ "ferry/board/amd64/start" // runs the tests without an operating system
