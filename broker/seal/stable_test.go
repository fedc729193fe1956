package seal_test

// What a key of 32 bytes 0x07 gave in the first version.
const (
	stableID      = "d31e2f29"
	stableDerived = "4b4a96c3441727c4e30ac9e950361b99b7a78ffbc8785c0450026a136f249d82"
	stableSealed  = "01d31e2f29e99a9b1c324b6524a3c2f79f4a08ea551f225dd02f62c0f90ee12916b7cf28d0a31999"
)
