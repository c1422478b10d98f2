//go:build metal && !tamago

package start

import _ "ferry/metal"
