package luo

// V1FLB is what Linux 7.0 and 7.1 write: the format of 6.19 under the same
// string, with a node for FLBs that 7.0 and 7.1 panic without. It mirrors
// include/linux/kho/abi/luo.h of 7.0 and 7.1 (LUO_FDT_FLB_NODE_NAME and struct
// luo_flb_header_ser beside what 6.19 has) and kernel/liveupdate/luo_flb.c.
var V1FLB = &Format{
	name:       "luo-v1 with FLBs",
	compatible: "luo-v1",
	releases:   "7.0, 7.1",

	maxSessions:    819,
	maxFiles:       128,
	beyondSessions: 52428,
	beyondFiles:    65536,

	flbs:  alwaysFLBs,
	stale: true,

	layouts: common,
	form:    &tree{flbs: true},
}
