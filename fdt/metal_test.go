//go:build metal

package fdt_test

import _ "ferry/board/amd64/start" // what the test runs on where there is no operating system
