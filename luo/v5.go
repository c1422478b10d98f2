package luo

import "ferry/blockset"

// V5 is what Linux 7.2 and 7.3 write. It mirrors include/linux/kho/abi/luo.h of
// 7.3 (LUO_ABI_COMPATIBLE, struct luo_ser, luo_session_ser, luo_file_set_ser,
// luo_file_ser, luo_flb_header_ser and luo_flb_ser), as
// kernel/liveupdate/luo_core.c, luo_session.c, luo_file.c and luo_flb.c write it.
var V5 = &Format{
	name:       "luo-v5",
	compatible: "luo-v5",
	releases:   "7.2, 7.3",

	maxSessions:    blockset.MaxBlocks * 51,
	maxFiles:       blockset.MaxBlocks * 63,
	beyondSessions: blockset.MaxBlocks * 51,
	beyondFiles:    blockset.MaxBlocks * 63,

	flbs: optionalFLBs,

	layouts: common,
	form:    &chain{head: versionString{"luo-v5", 8}, number: 8, sessions: 16, flbs: 24, size: 32},
}
