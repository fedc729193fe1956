package main

import "syscall"

// childAttributes keep Ctrl-C, which goes to a whole group, from reaching the
// sidecar beside our own signal: a second one would end it at once. Should we be
// killed ourselves, it ends as well.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
