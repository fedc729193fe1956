//go:build !linux

package boltstore

import "os"

// warnNetwork knows only Linux's file systems.
func (o *opener) warnNetwork(*os.File) {}
