package crossing

import "time"

// MinDeadline is the shortest deadline that can be set. A crossing takes some
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

// untilPrepared returns how long it may take until the way out is prepared. It is no
// deadline but what stops a loop, so that it is never shorter than the deadline.
func (o Options) untilPrepared() time.Duration {
	if o.Deadline == 0 {
		return 0
	}
	return max(o.Deadline, preparation)
}
