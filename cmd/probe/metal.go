//go:build metal

package main

import _ "ferry/board/amd64/start"
