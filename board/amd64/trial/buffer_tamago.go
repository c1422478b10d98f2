//go:build metal && tamago

package main

// buffer does nothing: TamaGo's runtime makes no system calls.
func buffer() {}
