// Package systemd holds the unit in this folder against systemd itself, and the settings beside it
// against the program.
package systemd
