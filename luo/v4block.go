package luo

import "ferry/blockset"

// V4Block is what version 6 of the patch series "liveupdate: Remove limits on
// sessions and files" of 2026-06-03 writes; no release does. Its string is that
// of LUO with that of the blocks glued on, and takes a longer field than that of
// [V5]; all the rest is the same. It mirrors struct luo_ser of
// include/linux/kho/abi/luo.h and KHO_BLOCK_ABI_COMPATIBLE of block.h there.
var V4Block = &Format{
	name:       "luo-v4-kho-block-v1",
	compatible: "luo-v4-kho-block-v1",
	releases:   "none (June 2026 series, v6)",

	maxSessions:    blockset.MaxBlocks * 51,
	maxFiles:       blockset.MaxBlocks * 63,
	beyondSessions: blockset.MaxBlocks * 51,
	beyondFiles:    blockset.MaxBlocks * 63,

	flbs: optionalFLBs,

	layouts: common,
	form:    &chain{head: versionString{"luo-v4-kho-block-v1", 24}, number: 24, sessions: 32, flbs: 40, size: 48},
}
