package linker

// Version is that of Ferry: of the host tool that is built from these sources, and
// what an image carries in the version string of its setup header.
const Version = "0.1.0"
