package redistest

import "syscall"

// dieWithParent has a server end with a test that was killed itself.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
