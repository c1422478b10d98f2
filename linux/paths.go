package linux

// Where the files of linux/init's initrd are.
const (
	InitPath   = "/init"
	KernelPath = "/kernel" // the kernel that every round starts
	StagePath  = "/stage"  // ferry.bzimage
	FerryPath  = "/ferry"  // the host tool
)

// ReportPrefix begins every line that linux/init writes to the console.
const ReportPrefix = "crossing: "
