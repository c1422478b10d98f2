package kernel

// MaxGoStack bounds a goroutine's stack in bytes, so that endless recursion ends
// in the runtime's own report and not with the stage's memory.
const MaxGoStack = 8 << 20

// Ports and registers of the real time clock. Source: Motorola MC146818A, data
// sheet, tables 2 and 3. The century is no register of that chip: PC firmware keeps
// it in a byte of its memory.
const (
	rtcSelect = 0x70
	rtcRead   = 0x71

	rtcSeconds = 0x00
	rtcMinutes = 0x02
	rtcHours   = 0x04
	rtcDay     = 0x07
	rtcMonth   = 0x08
	rtcYear    = 0x09
	rtcStatusA = 0x0a
	rtcStatusB = 0x0b
	rtcCentury = 0x32

	rtcUpdates = 1 << 7 // of status A: the time changes now
	rtcBinary  = 1 << 2 // of status B: numbers are binary, not BCD
	rtc24Hours = 1 << 1 // of status B: hours are 0 to 23
	rtcPM      = 1 << 7 // of hours that are 1 to 12
)

// rtcTime is what the registers hold.
type rtcTime struct{ second, minute, hour, day, month, year, century, status uint8 }

// WallClock reads the real time clock and returns Unix time in seconds. It reports
// false while the clock changes, which takes 2 ms, and on a machine without a clock
// that makes sense.
func WallClock() (unix int64, ok bool) {
	first, ok := readRTC()
	if !ok {
		return 0, false
	}
	// The processor may have been stopped in the middle of a reading.
	if again, ok := readRTC(); !ok || again != first {
		return 0, false
	}
	return first.unix()
}

// readRTC reads all registers. It reports false while they change.
func readRTC() (r rtcTime, ok bool) {
	read := func(register uint8) uint8 {
		out8(rtcSelect, register)
		return in8(rtcRead)
	}
	if read(rtcStatusA)&rtcUpdates != 0 {
		return r, false
	}
	return rtcTime{
		second: read(rtcSeconds), minute: read(rtcMinutes), hour: read(rtcHours),
		day: read(rtcDay), month: read(rtcMonth), year: read(rtcYear), century: read(rtcCentury),
		status: read(rtcStatusB),
	}, true
}

// unix returns the time in seconds since 1970. It reports false for what is no time
// from 1980 to 2199. A century that makes no sense is taken to be the 21st.
func (r rtcTime) unix() (int64, bool) {
	number := func(v uint8) int64 {
		if r.status&rtcBinary != 0 {
			return int64(v)
		}
		return int64(v>>4)*10 + int64(v&15)
	}
	second, minute, day, month, year, century := number(r.second), number(r.minute), number(r.day), number(r.month), number(r.year), number(r.century)
	hour := number(r.hour)
	if r.status&rtc24Hours == 0 {
		if hour = number(r.hour&^rtcPM) % 12; r.hour&rtcPM != 0 {
			hour += 12
		}
	}
	if century < 19 || century > 21 {
		century = 20
	}
	year += century * 100
	if second > 60 || minute > 59 || hour > 23 || day < 1 || day > 31 || month < 1 || month > 12 || year < 1980 || year > 2199 {
		return 0, false
	}
	return daysSince1970(year, month, day)*86400 + hour*3600 + minute*60 + second, true
}

// daysSince1970 counts days of the Gregorian calendar, in years that begin in March,
// so that a leap day is the last of one.
func daysSince1970(year, month, day int64) int64 {
	if month -= 3; month < 0 {
		month += 12
		year--
	}
	const since = 719468 // days from 1 March of year 0 to 1970
	return year*365 + year/4 - year/100 + year/400 + (month*153+2)/5 + day - 1 - since
}
