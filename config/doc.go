// Package config reads the configuration: defaults, overlaid by the file, the
// environment and the flags.
//
// [Load] always returns what could be understood, with everything that is wrong or
// unlikely, each with its place, the value (never a secret's), the reason and a hint.
//
//	config.go    what can be configured, and the defaults; sections.go the sections, with
//	             what docs/configuration.md says of each key
//	load.go      the steps of Load
//	decode.go    from YAML's nodes into a Config; tree.go (values from the environment
//	             and flags are put into the nodes), scalar.go, schema.go
//	env.go       which variable is which key
//	slips.go     slips of writing that YAML reports a line late, or in its own words
//	secret.go    secrets from files and variables; form.go (what they look like)
//	paths.go     what a relative path is relative to, and what can be written
//	validate.go  whether the values can be used; listen.go, urls.go, store.go, callers.go
//	fault.go     where what is wrong stands, and how that is worded
//	reload.go    what a changed file may change while the process runs
//
// The package makes no API promise outside this module.
package config
