package crossing

import "fmt"

// expects returns how many sessions have to come in at least: what the manifest
// says, or, unless that is signed, the command line.
func (p *passage) expects() uint64 {
	if n := p.options.ExpectSessions; n > 0 && !p.signed {
		return n
	}
	return p.payload.Manifest.ExpectSessions
}

// expect fails where fewer sessions came in than have to.
func (p *passage) expect(came int) error {
	if want := p.expects(); uint64(came) < want {
		return fmt.Errorf("%d sessions came in, want at least %d as expect-sessions says: %s", came, want, closed)
	}
	return nil
}

// closed is what most often became of sessions that are missed.
const closed = "a session whose process ends before the kexec is given up by the kernel before"

// warning is what nobody must miss and no error says: that there was nothing to
// carry. Empty where sessions came in, where nobody looked, and where one of the
// kernels has none.
func (p *passage) warning() string {
	in, t := p.came, p.target
	switch {
	case p.none:
		return "NO HANDOVER CAME IN: what starts now boots cold, without any state of the kernel before"
	case in == nil || in.state.Len() > 0 || p.report.failed() != nil:
		return ""
	case t.gen != nil && t.gen.LUO == nil, t.from.gen != nil && t.from.gen.LUO == nil:
		return ""
	case in.state.Absent():
		return "NO SESSION CAME IN: the kernel before handed over no live update state at all (liveupdate=on?)"
	}
	return "NO SESSION CAME IN: " + closed
}
