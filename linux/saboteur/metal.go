//go:build metal

package main

import _ "ferry/metal"
