//go:build metal && !tamago

package start

import _ "ferry/board/amd64/internal/syscalls"
