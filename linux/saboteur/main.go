// Command saboteur is an image for the real-kernel suite. It runs between Linux and Ferry: it breaks the handover that
// Linux made in the way that sabotage.damage= names, and starts Ferry with it as if nothing had happened.
//
// It is Ferry's own stage with ferry.mode=pass, and so hands on what it does not touch bit for bit.
package main

import (
	"fmt"
	"strings"

	"ferry/board/amd64"
	"ferry/boot"
	"ferry/crossing"
	"ferry/kho"
	"ferry/linux/saboteur/damage"
)

func main() {
	info := amd64.Boot()
	console := amd64.Console{}
	if err := sabotage(info); err != nil {
		fmt.Fprintln(console, "saboteur:", err)
		amd64.Exit(2)
	}
	jump, err := crossing.Run(&crossing.Machine{
		Memory:    amd64.Memory(),
		ZeroPage:  info.ZeroPage,
		Stage:     info.Stage,
		Processor: boot.Processor{FiveLevel: amd64.FiveLevel(), HasFiveLevel: amd64.HasFiveLevel(), Encrypted: amd64.Encryption() != ""},
		Nanotime:  amd64.Nanotime,
		Random:    amd64.Random,
		Console:   console,
	})
	if err == nil {
		err = amd64.Jump(jump.Entry, jump.ZeroPage)
	}
	fmt.Fprintln(console, "saboteur:", err)
	amd64.Exit(2)
}

func sabotage(info amd64.Info) error {
	mem := amd64.Memory()
	params, err := boot.Read(mem, info.ZeroPage)
	if err != nil {
		return err
	}
	raw, err := params.KHO()
	if err != nil {
		return err
	}
	if raw == nil {
		return fmt.Errorf("no handover came in")
	}
	data, err := kho.ParseData(0, raw[:])
	if err != nil {
		return err
	}
	for _, word := range strings.Fields(info.Cmdline) {
		name, ok := strings.CutPrefix(word, "sabotage.damage=")
		if !ok {
			continue
		}
		at, err := damage.Do(mem, data, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(amd64.Console{}, "saboteur: %s at %v\n", name, at)
		return nil
	}
	return fmt.Errorf("no sabotage.damage= on the command line")
}
