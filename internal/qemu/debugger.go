//go:build linux

package qemu

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Debugger controls a machine through QEMU's stub for gdb: the remote serial
// protocol, as far as stopping a machine takes it.
type Debugger struct {
	Machine *Running
	conn    net.Conn
	in      *bufio.Reader
	points  map[uint64]bool // where the machine is to stop
}

// Attach connects to a machine that was started with Debug. It is stopped.
func (r *Running) Attach() (*Debugger, error) {
	var err error
	for range 200 {
		var conn net.Conn
		if conn, err = net.Dial("unix", filepath.Join(r.dir, "gdb")); err == nil {
			d := &Debugger{Machine: r, conn: conn, in: bufio.NewReader(conn), points: map[uint64]bool{}}
			_, err := d.ask("?")
			return d, err
		}
		select {
		case <-r.done:
			return nil, fmt.Errorf("the machine has ended: %s", r.Console())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, err
}

// send writes a packet.
func (d *Debugger) send(packet string) error {
	sum := byte(0)
	for i := range len(packet) {
		sum += packet[i]
	}
	_, err := fmt.Fprintf(d.conn, "$%s#%02x", packet, sum)
	return err
}

// receive reads a packet and acknowledges it.
func (d *Debugger) receive() (string, error) {
	if _, err := d.in.ReadString('$'); err != nil {
		return "", fmt.Errorf("the machine has ended: %w", err)
	}
	packet, err := d.in.ReadString('#')
	if err != nil {
		return "", err
	}
	if _, err := d.in.Discard(2); err != nil {
		return "", err
	}
	_, err = d.conn.Write([]byte{'+'})
	return strings.TrimSuffix(packet, "#"), err
}

func (d *Debugger) ask(packet string) (string, error) {
	if err := d.send(packet); err != nil {
		return "", err
	}
	answer, err := d.receive()
	if err == nil && strings.HasPrefix(answer, "E") {
		err = fmt.Errorf("debugger: %s: %s", packet, answer)
	}
	return answer, err
}

// Break stops the machine where it is about to run the instruction at a virtual
// address; Clear takes that back.
func (d *Debugger) Break(at uint64) error {
	d.points[at] = true
	return d.point("Z", at)
}

// Clear takes a Break back.
func (d *Debugger) Clear(at uint64) error {
	delete(d.points, at)
	return d.point("z", at)
}

func (d *Debugger) point(what string, at uint64) error {
	answer, err := d.ask(fmt.Sprintf("%s1,%x,1", what, at))
	if err == nil && answer != "OK" {
		err = fmt.Errorf("debugger: breakpoint at %#x: %q", at, answer)
	}
	return err
}

// Go lets the machine run until it stops. An error is also that it ended.
func (d *Debugger) Go() error {
	if err := d.Continue(); err != nil {
		return err
	}
	return d.Stopped()
}

// Continue lets the machine run. From where it was stopped by a Break it makes the
// first step without, or it would stop there again.
func (d *Debugger) Continue() error {
	at, err := d.Register(RIP)
	if err != nil {
		return err
	}
	if d.points[at] {
		if err := d.point("z", at); err != nil {
			return err
		}
		if err := d.send("s"); err != nil {
			return err
		}
		if err := d.Stopped(); err != nil {
			return err
		}
		if err := d.point("Z", at); err != nil {
			return err
		}
	}
	return d.send("c")
}

// Stopped waits until the machine stops.
func (d *Debugger) Stopped() error {
	answer, err := d.receive()
	if err == nil && !strings.HasPrefix(answer, "T") && !strings.HasPrefix(answer, "S") {
		err = fmt.Errorf("debugger: the machine ended: %q", answer)
	}
	return err
}

// Stop makes the machine stand still, wherever it is.
func (d *Debugger) Stop() error {
	if _, err := d.conn.Write([]byte{3}); err != nil {
		return err
	}
	return d.Stopped()
}

// To lets the machine run to the address, and on from there without stopping there
// again.
func (d *Debugger) To(at uint64) error {
	if err := d.Break(at); err != nil {
		return err
	}
	if err := d.Go(); err != nil {
		return err
	}
	return d.Clear(at)
}

// Registers by their numbers in the protocol.
const (
	RAX = 0
	RBX = 1
	RSI = 4
	RSP = 7
	RIP = 16
)

// Register reads a register.
func (d *Debugger) Register(n int) (uint64, error) {
	answer, err := d.ask("g")
	if err != nil {
		return 0, err
	}
	b, err := hex.DecodeString(answer)
	if err != nil || len(b) < 8*(n+1) {
		return 0, fmt.Errorf("debugger: register %d: %q", n, answer)
	}
	return binary.LittleEndian.Uint64(b[8*n:]), nil
}

// Memory reads at a virtual address.
func (d *Debugger) Memory(at uint64, n int) ([]byte, error) {
	answer, err := d.ask(fmt.Sprintf("m%x,%x", at, n))
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(answer)
}

// Words reads words of 8 bytes at a virtual address.
func (d *Debugger) Words(at uint64, n int) ([]uint64, error) {
	b, err := d.Memory(at, 8*n)
	words := make([]uint64, len(b)/8)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return words, err
}
