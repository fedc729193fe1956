//go:build !linux

package main

import "syscall"

// childAttributes keep Ctrl-C, which goes to a whole group, from reaching the
// sidecar beside our own signal: a second one would end it at once.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
