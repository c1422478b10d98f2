package crossing

import (
	"fmt"
	"time"
)

// MinDeadline is the shortest deadline that can be asked for. A crossing takes some
// tenths of a second, most of them to hash a large payload; a shorter deadline is a
// slip in the unit, with which no crossing would ever succeed.
const MinDeadline = time.Second

const (
	// defaultDeadline is far beyond what a crossing takes, even of half a million
	// sessions on an emulated processor.
	defaultDeadline = 5 * time.Minute
	maxDeadline     = 24 * time.Hour

	// preparation bounds what is done before there is a kernel to go on with: until
	// then the end of any deadline could only be a halt.
	preparation = 10 * time.Minute
)

// preparing returns how long it may take until the way out is laid. It is no
// deadline but what stops a loop, so that it is never shorter than the deadline.
func (o Options) preparing() time.Duration {
	if o.Deadline == 0 {
		return 0
	}
	return max(o.Deadline, preparation)
}

// hurry sets the deadline, once there is a way out for it to end in. Time that is up
// by now is a failure like any other.
func (p *passage) hurry() {
	if p.m.Watch == nil {
		return
	}
	left := p.options.Deadline
	if left != 0 {
		if left -= p.report.elapsed(); left <= 0 {
			p.report.fail(fmt.Errorf("the time is up: ferry.deadline=%v was over before the handover was read", p.options.Deadline))
			return // the way out is taken at once
		}
	}
	p.m.Watch.Deadline(left)
}
