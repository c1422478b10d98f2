package luo

import "testing"

// The one format of a root in blocks whose string is longer than a word.
var exampleV4Block = example{V4Block, "memfd-v2", 48, 4, append([]piece{{0,
	"6c756f2d76342d6b 686f2d626c6f636b 2d76310000000000 0100000000000000 0020000001000000 0030000001000000"}}, exampleBlocks...)}

func TestWorkedExampleOfV4BlockIsWrittenByteForByte(t *testing.T) { exampleV4Block.write(t) }

func TestWorkedExampleOfV4BlockIsRead(t *testing.T) { exampleV4Block.read(t) }
