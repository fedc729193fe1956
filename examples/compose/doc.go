// Package compose holds the compose files in this folder against compose's own parser, and the
// settings beside them against the program.
//
// It is a module of its own, so that the program does not depend on that parser.
package compose
