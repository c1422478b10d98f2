//go:build tamago

package start

import _ "ferry/board/amd64/internal/tamago"
