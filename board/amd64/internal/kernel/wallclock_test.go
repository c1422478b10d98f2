//go:build !metal

package kernel

import (
	"testing"
	"time"
)

// bcd writes a number as the clock does by default.
func bcd(n int) uint8 { return uint8(n/10<<4 | n%10) }

// TestWallClockCountsDays compares with package time: every day from 1980 to 2199, at
// some hour of it, in all four ways in which the clock may count.
func TestWallClockCountsDays(t *testing.T) {
	at := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := 0; at.Year() < 2200; n++ {
		at = at.Add(24*time.Hour + 61*time.Minute + time.Second)
		if at.Year() > 2199 {
			break
		}
		y, mo, d := at.Date()
		h, mi, s := at.Clock()
		noon := h
		if noon = h % 12; noon == 0 {
			noon = 12
		}
		pm := uint8(h / 12 << 7)
		for _, r := range []rtcTime{
			{bcd(s), bcd(mi), bcd(h), bcd(d), bcd(int(mo)), bcd(y % 100), bcd(y / 100), rtc24Hours},
			{bcd(s), bcd(mi), bcd(noon) | pm, bcd(d), bcd(int(mo)), bcd(y % 100), bcd(y / 100), 0},
			{uint8(s), uint8(mi), uint8(h), uint8(d), uint8(mo), uint8(y % 100), uint8(y / 100), rtc24Hours | rtcBinary},
			{uint8(s), uint8(mi), uint8(noon) | pm, uint8(d), uint8(mo), uint8(y % 100), uint8(y / 100), rtcBinary},
		} {
			if got, ok := r.unix(); !ok || got != at.Unix() {
				t.Fatalf("%v as %+v: %v, %v", at, r, time.Unix(got, 0).UTC(), ok)
			}
		}
	}
}

func TestWallClockRefusesWhatIsNoTime(t *testing.T) {
	good := rtcTime{0x59, 0x59, 0x23, 0x31, 0x12, 0x26, 0x20, rtc24Hours}
	want := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	for _, century := range []uint8{0x20, 0x00, 0xff, 0x18} { // some firmware keeps none
		good.century = century
		if got, ok := good.unix(); !ok || got != want {
			t.Errorf("century %#x: %v, %v", century, time.Unix(got, 0).UTC(), ok)
		}
	}
	for name, change := range map[string]func(*rtcTime){
		"no clock": func(r *rtcTime) { *r = rtcTime{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} },
		"zeros":    func(r *rtcTime) { *r = rtcTime{} },
		"second":   func(r *rtcTime) { r.second = 0x61 },
		"minute":   func(r *rtcTime) { r.minute = 0x60 },
		"hour":     func(r *rtcTime) { r.hour = 0x24 },
		"no day":   func(r *rtcTime) { r.day = 0 },
		"day":      func(r *rtcTime) { r.day = 0x32 },
		"no month": func(r *rtcTime) { r.month = 0 },
		"month":    func(r *rtcTime) { r.month = 0x13 },
		"1979":     func(r *rtcTime) { r.century, r.year = 0x19, 0x79 },
	} {
		r := good
		change(&r)
		if got, ok := r.unix(); ok {
			t.Errorf("%s: %v", name, time.Unix(got, 0).UTC())
		}
	}
}
