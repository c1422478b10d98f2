package luo

// V1 is what Linux 6.19 writes: a device tree without a node for FLBs, which that
// release does not have. It mirrors include/linux/kho/abi/luo.h of 6.19
// (LUO_FDT_COMPATIBLE, LUO_SESSION_PGCNT, LUO_FILE_PGCNT and the structures
// luo_session_ser and luo_file_ser), as kernel/liveupdate/luo_core.c,
// luo_session.c and luo_file.c write it.
var V1 = &Format{
	name:       "luo-v1",
	compatible: "luo-v1",
	releases:   "6.19",
	reads:      []*Format{V1FLB}, // its readers ignore the node for FLBs

	maxSessions:    819, // what 16 pages hold behind the header
	maxFiles:       128, // what 2 pages hold
	beyondSessions: 52428,
	beyondFiles:    65536,

	layouts: common,
	form:    &tree{},
}
